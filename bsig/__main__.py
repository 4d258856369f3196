"""`python -m bsig <command>`."""

import sys

from bsig.cli.main import main

sys.exit(main())
