"""Programs that are forked from a process which has imported torch, timm and gradio once.

    done = run_forked("-m", "bsig", "--version")         as subprocess.run: returncode, stdout, stderr
    done = run_together(2, "-m", "bsig", "finetune", ...)   as torchrun with two processes
    program = ForkedProgram("app.py", output=log)        as subprocess.Popen

A fresh interpreter spends seconds of its processor's time on those imports; a fork spends none. bsig itself is imported
anew in each fork, so environment variables count as they do in a fresh interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from bsig.inputs.paths import ROOT

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["torch", "torchvision", "timm", "gradio", "plotly.graph_objects", "cv2", "safetensors.torch", "scipy", "jinja2"]
)


class ForkedProgram:
    """`python *command`, with the parts of `subprocess.Popen` that the tests use.

    Args:
        command: as behind `python`: `-m MODULE ...` or `SCRIPT ...`.
        output: the file that takes what it prints; None for a pipe, `stdout`, beside which `stdin` is one too.
        errors: the file that takes what it prints on stderr; `output` where None.
        cwd: where it runs.
        env: all of its environment; this process's where None.
    """

    def __init__(
        self,
        *command: object,
        output: Path | None,
        errors: Path | None = None,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
    ) -> None:
        streams = _Streams(str(output) if output else None, str(errors or output))
        if output is None:
            streams.stdin, stdin = _FORKS.Pipe(duplex=False)
            stdout, streams.stdout = _FORKS.Pipe(duplex=False)
            self.stdin = os.fdopen(os.dup(stdin.fileno()), "w", encoding="utf-8")
            self.stdout = os.fdopen(os.dup(stdout.fileno()), encoding="utf-8")
            stdin.close()
            stdout.close()
        arguments = ([str(part) for part in command], streams, str(cwd), dict(env or os.environ))
        self.process = _FORKS.Process(target=_run, args=arguments, daemon=True)  # ends with the tests
        self.process.start()
        streams.close()
        self.pid = self.process.pid
        assert self.pid is not None

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("forked program", timeout or 0)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_forked(
    *command: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; nothing is checked.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        program = ForkedProgram(*command, output=output, errors=errors, cwd=cwd, env=env)
        try:
            code = program.wait(timeout)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
            raise
        return subprocess.CompletedProcess(
            [str(part) for part in command],
            code,
            output.read_text(encoding="utf-8"),
            errors.read_text(encoding="utf-8"),
        )


def run_together(
    count: int, *command: object, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """As torchrun starts them: `count` programs that find each other over the loopback interface.

    The answer has the first exit code that is not 0, and what all printed, in the order of their ranks.
    """
    shared = {
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        programs = []
        for rank in range(count):
            files = {name: Path(folder) / f"{name}{rank}" for name in ("output", "errors")}
            ranked = {**(env or os.environ), **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            programs.append(ForkedProgram(*command, **files, env=ranked))
            stack.callback(programs[-1].kill)
        codes = [program.wait(timeout) for program in programs]
        output, errors = (
            "".join((Path(folder) / f"{name}{rank}").read_text(encoding="utf-8") for rank in range(count))
            for name in ("output", "errors")
        )
    return subprocess.CompletedProcess([*map(str, command)], next(filter(None, codes), 0), output, errors)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class _Streams:
    """Where a forked program reads and writes: files by name, pipes as connections."""

    output: str | None
    errors: str
    stdin: Connection | None = None
    stdout: Connection | None = None

    def take(self) -> None:
        """Makes them those of this process."""
        for number, path in ((1, self.output), (2, self.errors)):
            if path:
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(file, number)
                os.close(file)
        if self.stdin and self.stdout:
            os.dup2(self.stdin.fileno(), 0)
            os.dup2(self.stdout.fileno(), 1)
            sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        self.close()

    def close(self) -> None:
        for pipe in (self.stdin, self.stdout):
            if pipe:
                pipe.close()


def _run(command: list[str], streams: _Streams, cwd: str, env: dict[str, str]) -> None:
    """The forked side: becomes what `python *command` would be."""
    streams.take()
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1, errors="backslashreplace")
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    tempfile.tempdir = None  # TMPDIR may be another
    torch.set_num_threads(1)  # sums in one order, and no more threads than the tests have cores
    sys.path[:0] = [cwd, *env.get("PYTHONPATH", "").split(os.pathsep)]
    for name in [name for name in sys.modules if name.split(".")[0] == "bsig"]:
        del sys.modules[name]
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    elif command[0] == "-c":
        sys.argv = ["-c", *command[2:]]
        exec(compile(command[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")
