"""How the page behaves while it trains: Compare's answers alone and beside a run, the waits for Start and Stop.

    python tests/benchmarks/bench_finetune_page.py [--rounds 60] [--out FILE]

Real server, real worker, over HTTP. Prints a table and writes JSON; asserts nothing: the figures are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gradio_client import Client, handle_file

ROOT = Path(__file__).resolve().parents[2]
PICTURES = sorted((ROOT / "assets" / "examples").glob("*.jpg"))
CHECKPOINT = "imagenet1k-efficientnet_lite0"
CLASSES = ("golf ball", "parachute", "tench", "French horn")
LONG = 5000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "app.py", "--port", str(port), "--work-folder", folder]
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(command, cwd=ROOT, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            wait_for(f"http://127.0.0.1:{port}")
            results = measured(Client(f"http://127.0.0.1:{port}", verbose=False), options.rounds)
        finally:
            server.terminate()
            server.wait()
    results["machine"] = {
        "cores": os.cpu_count(), "load": os.getloadavg()[0], "torch": torch.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    for name, value in results.items():
        print(f"{name}: {value}")
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def measured(client: Client, rounds: int) -> dict[str, Any]:
    """All figures, in seconds; Compare's as median and 95th percentile."""
    files = [handle_file(str(path)) for path in PICTURES]

    def compare(number: int) -> Any:
        picture, name = files[number % len(files)], CLASSES[number % len(CLASSES)]
        return client.predict(picture, CHECKPOINT, name, "cam", "signed", api_name="/compare")

    expected = [compare(number)[-1] for number in range(len(PICTURES) * len(CLASSES))]
    alone = timed(compare, rounds, expected)
    start = time.perf_counter()
    job = client.submit(
        data=None, name="long", start=CHECKPOINT, labels="own", branch="full", epochs=LONG, learning_rate=0.03,
        batch_size=32, seed=0, api_name="/finetune",
    )  # fmt: skip
    until(client, "long", lambda run: run["epochs_done"] >= 1)
    first_epoch = time.perf_counter() - start
    beside = timed(compare, rounds, expected)
    epochs = client.predict("long", api_name="/run")["epochs_done"]
    start = time.perf_counter()
    client.predict("long", api_name="/stop_run")
    until(client, "long", lambda run: run["standing"] == "stopped")
    stop_s = time.perf_counter() - start
    job.cancel()
    start = time.perf_counter()
    short = client.predict(
        data=None, name="short", start=CHECKPOINT, labels="own", branch="full", epochs=10, learning_rate=0.2,
        batch_size=32, seed=0, api_name="/finetune",
    )  # fmt: skip
    return {
        "compare alone": alone,
        "compare beside a run": beside,
        "epochs made meanwhile": epochs,
        "start to first epoch, worker cold": round(first_epoch, 2),
        "stop": round(stop_s, 2),
        "10 epochs on the shipped features, worker warm": round(time.perf_counter() - start, 2),
        "that run": short["standing"],
    }


def timed(compare: Callable[[int], Any], rounds: int, expected: list[Any]) -> dict[str, Any]:
    seconds, wrong = [], 0
    for number in range(rounds):
        start = time.perf_counter()
        answer = compare(number)[-1]
        seconds.append(time.perf_counter() - start)
        wrong += answer != expected[number % len(expected)]
    p95 = statistics.quantiles(seconds, n=20)[-1]
    return {"median": round(statistics.median(seconds), 3), "p95": round(p95, 3), "wrong answers": wrong}


def until(client: Client, name: str, condition: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if condition(client.predict(name, api_name="/run")):
                return
        except ValueError:
            pass  # not there yet
        time.sleep(0.02)
    raise TimeoutError(name)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


if __name__ == "__main__":
    main()
