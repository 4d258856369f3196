"""Starts the web app: `python app.py`. Arguments in, `bsig.ui.build_demo` out; nothing else lives here."""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from bsig.checkpoints import CHECKPOINTS_FOLDER, DEFAULT_CHECKPOINT
from bsig.errors import InputError
from bsig.finetune import chosen_device
from bsig.run_queue import RunQueue
from bsig.runs import WORK_FOLDER, RunFolder
from bsig.ui import build_demo, launch_arguments
from bsig.ui.server import prepare_process
from bsig.ui.workbench import Workbench


def main() -> int:
    """Parses the arguments, loads the first model, serves until stopped."""
    parser = argparse.ArgumentParser(description="bsig: softmax and sigmoid CAMs side by side, in the browser.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="shown first: name, folder or hf:owner/repo")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--work-folder", type=Path, default=WORK_FOLDER, help="where fine-tunes are kept")
    parser.add_argument("--public", action="store_true", help="for strangers: no paths of this machine are taken")
    parser.add_argument("--models", type=int, default=3, help="how many models stay in memory")
    chosen = parser.parse_args()
    try:
        runs = RunFolder(chosen.work_folder)
        bench = Workbench(
            chosen.checkpoint,
            chosen.checkpoints,
            chosen_device(chosen.device),
            more_folders=[runs.checkpoints],
            is_public=chosen.public,
            models=chosen.models,
        )
        bench.model(None)  # refuses a checkpoint that cannot be loaded before the page is there
        queue = RunQueue(runs, chosen.checkpoints)
    except InputError as error:
        print(f"bsig: {error}", file=sys.stderr)  # noqa: T201
        return 2
    prepare_process()
    try:
        build_demo(bench, queue).launch(server_name=chosen.host, server_port=chosen.port, **launch_arguments())
    finally:
        queue.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
