"""The page on a server that listened before it: who asked early is answered as everybody else is."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from http_visitor import Visitor
from in_process import built_demo
from tolerances import FLOAT32, assert_close

from bsig.inputs.paths import ROOT
from bsig.ui.components.examples import example_by_key
from bsig.ui.page import launch_arguments
from bsig.ui.server.gradio_internals import launched_on
from bsig.ui.server.starting import StartingServer
from bsig.ui.workbench import Workbench


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_question_from_before_the_page_and_its_model_is_answered(right_maps: dict[str, np.ndarray]) -> None:
    answers: list[Any] = []

    def ask() -> None:
        visitor = Visitor(server.url)
        answers.append(visitor.compare(example_by_key("cat").path.read_bytes(), "golf ball"))
        visitor.close()

    bench = Workbench()
    with StartingServer("127.0.0.1", 0) as server:
        thread = threading.Thread(target=ask)
        thread.start()
        with built_demo(bench) as demo, launched_on(server):
            assert (answers, bench.loaded_names()) == ([], [])
            demo.launch(
                prevent_thread_lock=True, quiet=True, server_name=server.host, server_port=server.port,
                **launch_arguments(bench),
            )  # fmt: skip
            thread.join(60)
            demo.close(verbose=False)
    (*pictures, numbers) = answers[0]
    assert len(pictures) == 3
    for branch, values in right_maps.items():
        assert_close(np.array(numbers[branch]["map"], dtype=np.float32), values, FLOAT32)


BUILT = """
import sys, tempfile
from pathlib import Path
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.ui.page import build_demo
from bsig.ui.workbench import Workbench

bench = Workbench()
build_demo(bench, RunQueue(RunFolder(Path(tempfile.mkdtemp())), bench.folder))
print(*({"timm", "torchvision", "torch._dynamo", "sympy", "plotly", "scipy", "matplotlib"} & set(sys.modules)))
"""


@pytest.mark.nightly
def test_the_page_is_built_without_what_only_the_model_and_the_plots_need() -> None:
    """They are imported while a browser sets the page up."""
    done = subprocess.run([sys.executable, "-c", BUILT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
