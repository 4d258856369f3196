"""Visitors at a time against one `python app.py`: errors, wrong answers, throughput, seconds, memory.

    python tests/benchmarks/bench_load.py                          32 visitors for 60 s
    python tests/benchmarks/bench_load.py --finetune               the same while a fine-tune runs
    python tests/benchmarks/bench_load.py --url http://HOST:PORT --pid PID     an app that runs already

`compare` is from the question to the whole answer, queueing included; the pictures of an answer are fetched after it.
The visitors share the machine's cores with the app.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from http_visitor import CHECKPOINT, RefusedError, Visitor, resident_bytes, running_app  # noqa: E402  found by the line above

from bsig.cli.bench.load import load_of_visitors  # noqa: E402
from bsig.ui.components.examples import example_pictures  # noqa: E402

ENDLESS_EPOCHS = 5000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0, help="seconds between two questions of a visitor")
    parser.add_argument("--finetune", action="store_true", help="a fine-tune runs meanwhile")
    parser.add_argument("--url", help="an app that runs already")
    parser.add_argument("--pid", type=int, help="its process")
    parser.add_argument("--cores", type=int, default=2, help="how many the app may use")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.url:
            url, process = options.url, psutil.Process(options.pid or os.getpid())
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url, app = stack.enter_context(running_app(folder))
            process = psutil.Process(app.pid)
            with_cores(process, options.cores)
        if options.finetune:
            stack.enter_context(finetune_running(url))
        resident = partial(resident_bytes, process)
        load = load_of_visitors(
            url, resident, example_pictures(), options.visitors, options.seconds, pause_s=options.pause
        )
    figures = {
        "visitors": options.visitors, "seconds": options.seconds, "pause_s": options.pause,
        "finetune": options.finetune, "cores": options.cores, **load.summary(options.seconds),
    }  # fmt: skip
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if load.errors or load.wrong else 0


def with_cores(process: psutil.Process, count: int) -> None:
    """Lets the app use so many cores, where the system can hold it to them."""
    if hasattr(process, "cpu_affinity"):
        process.cpu_affinity(process.cpu_affinity()[:count])


@contextmanager
def finetune_running(url: str) -> Iterator[None]:
    """A fine-tune on the shipped features that outlasts the block."""
    visitor = Visitor(url)
    visitor.send("finetune", None, "load", CHECKPOINT, "own", "full", ENDLESS_EPOCHS, 0.1, 32, 0)
    while not any(run["standing"] == "running" for run in visitor.ask("runs")[0]):
        pass
    try:
        yield
        runs = visitor.ask("runs")[0]
        if not any(run["standing"] == "running" for run in runs):
            raise RuntimeError(f"the fine-tune ended before the visitors did: {runs[0]['status']}")
    finally:
        for run in visitor.ask("runs")[0]:
            try:
                visitor.ask("stop_run", run["name"])
            except RefusedError:
                continue
        visitor.close()


if __name__ == "__main__":
    sys.exit(main())
