"""Starts the web app: `python app.py`. Arguments in, `bsig.ui.build_demo` out; nothing else lives here."""

import argparse
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from bsig.cli.arguments import add_engine_argument
from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.devices import chosen_device
from bsig.training.runs import (
    zero_gpu,  # first: a GPU that is lent by the second must be asked for before anything looks for one
)
from bsig.training.runs.folder import WORK_FOLDER, RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.ui.page import build_demo, launch_arguments
from bsig.ui.server.guard import prepare_process
from bsig.ui.server.limits import ON_SPACES_VARIABLE, Limits
from bsig.ui.server.visitor_space import VisitorSpaces
from bsig.ui.workbench import Workbench


def main() -> int:
    """Parses the arguments, loads the first model, serves until stopped."""
    parser = argparse.ArgumentParser(description="bsig: softmax and sigmoid CAMs side by side, in the browser.")
    everywhere = "0.0.0.0" if os.environ.get(ON_SPACES_VARIABLE) else "127.0.0.1"
    parser.add_argument("--host", default=everywhere, help="on Hugging Face Spaces every address, else 127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, help="shown first: name, folder or hf:owner/repo")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS_FOLDER, help="folder of checkpoint folders")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    add_engine_argument(parser)
    parser.add_argument("--work-folder", type=Path, default=WORK_FOLDER, help="where fine-tunes are kept")
    parser.add_argument("--public", action="store_true", help="for strangers: limits, and each visitor's things apart")
    parser.add_argument("--allow-host", action="append", default=[], help="a further name of this app, as a proxy's")
    parser.add_argument("--models", type=int, default=3, help="how many models stay in memory")
    chosen = parser.parse_args()
    spaces = None
    try:
        spaces = VisitorSpaces(Limits.for_app(public=chosen.public), chosen.work_folder)
        spaces.use_own_temporary_folder()
        device = zero_gpu.compare_device() or chosen_device(chosen.device)
        bench = Workbench(
            chosen.checkpoint, chosen.checkpoints, device, engine=chosen.engine, visitor_spaces=spaces,
            models=chosen.models,
        )  # fmt: skip
        bench.model(None)  # refuses a checkpoint that cannot be loaded before the page is there
        runs = spaces.shared.runs or RunFolder(chosen.work_folder)
        queue = RunQueue(runs, chosen.checkpoints, zero_gpu.new_maker(chosen.checkpoints))
    except InputError as error:
        if spaces:
            spaces.close()
        print(f"bsig: {error}", file=sys.stderr)  # noqa: T201
        return 2
    prepare_process()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what visitors left goes with the app
    hosts = [chosen.host, *chosen.allow_host]
    try:
        demo = build_demo(bench, queue)
        demo.launch(server_name=chosen.host, server_port=chosen.port, **launch_arguments(bench, hosts))
    finally:
        queue.close()
        spaces.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
