"""Starts the web app: `python app.py`. It listens at once; what takes seconds to import is imported behind that."""

import argparse
import gc
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from bsig.cli.arguments.shared import add_engine_argument
from bsig.inputs.errors import InputError, disk_sentence
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.ui.server.headers import ON_SPACES_VARIABLE
from bsig.ui.server.memory import limit_heaps, put_off_garbage
from bsig.ui.server.opening import prepared_comparison
from bsig.ui.server.starting import StartingServer


def main() -> int:
    """Parses the arguments, listens, serves until stopped."""
    parser = argparse.ArgumentParser(description="bsig: softmax and sigmoid CAMs side by side, in the browser.")
    everywhere = "0.0.0.0" if os.environ.get(ON_SPACES_VARIABLE) else "127.0.0.1"
    parser.add_argument("--host", default=everywhere, help="on Hugging Face Spaces every address, else 127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="shown first: name, folder or hf:owner/repo")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_engine_argument(parser)
    parser.add_argument("--work-folder", type=Path, default=None, help="where fine-tunes are kept")
    parser.add_argument("--public", action="store_true", help="for strangers: limits, and each visitor's things apart")
    parser.add_argument("--allow-host", action="append", default=[], help="a further name of this app, as a proxy's")
    parser.add_argument("--models", type=int, default=3, help="how many models stay in memory")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what visitors left goes with the app
    limit_heaps()
    put_off_garbage()
    try:
        comparison = prepared_comparison(options.checkpoint, options.checkpoints)
        with StartingServer(options.host, options.port, comparison) as server:
            from bsig.ui.serving import serve  # only now: it imports gradio and torch

            serve(options, server)
    except InputError as error:
        print(f"bsig: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        sentence = disk_sentence(error)
        if sentence is None:
            raise
        print(f"bsig: {sentence}", file=sys.stderr)  # noqa: T201
        return 2
    finally:
        gc.enable()
    return 0


if __name__ == "__main__":
    sys.exit(main())
