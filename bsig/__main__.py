"""`python -m bsig <command>`."""

import sys

from bsig.cli import main

sys.exit(main())
