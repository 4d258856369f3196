"""A stand-in for the package `spaces` of Hugging Face. Its `GPU` needs no GPU and writes its calls down.

Like the real one, it runs the function in a forked process, pickles its arguments and its answer, and has to be
imported before anything looks for a GPU.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from collections.abc import Callable
from typing import Any

import torch

if torch.cuda.is_initialized():
    raise RuntimeError("CUDA has been initialized before importing the `spaces` package.")


def _write_down(**entries: Any) -> None:
    with open(os.environ["BSIG_TEST_SPACES_CALLS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(entries) + "\n")


def GPU(task: Callable | None = None, *, duration: Any = None, size: str | None = None) -> Any:
    """The decorator."""
    if task is None:
        return lambda function: GPU(function, duration=duration, size=size)
    _write_down(decorated=task.__name__)

    def on_gpu(*arguments: Any, **named: Any) -> Any:
        seconds = duration(*arguments, **named) if callable(duration) else duration
        content = pickle.dumps((arguments, named))
        context = multiprocessing.get_context("fork")
        own_end, other_end = context.Pipe()
        process = context.Process(target=_forked, args=(task, content, other_end))
        process.start()
        other_end.close()
        answer = own_end.recv_bytes()
        process.join()
        _write_down(
            called=task.__name__, arguments=list(arguments), seconds=seconds, pid=process.pid, parent=os.getpid(),
            answer_bytes=len(answer),
        )  # fmt: skip
        return pickle.loads(answer)

    return on_gpu


def gradio_auto_wrap(task: Any) -> Any:
    """What Gradio calls for every handler; the handlers of an app that uses `GPU` stay as they are."""
    return task


def _forked(task: Callable, content: bytes, answer: Any) -> None:
    arguments, named = pickle.loads(content)
    answer.send_bytes(pickle.dumps(task(*arguments, **named)))
