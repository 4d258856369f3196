"""The Fine-tune screen's endpoints: a zip becomes a checkpoint that Compare takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from in_process import served_demo

from bsig.inputs.paths import CHECKPOINTS_FOLDER
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.ui.components.examples import bundled_examples
from bsig.ui.workbench import Workbench

PICTURE = bundled_examples()[0].path


@pytest.fixture(scope="module")
def client(bench: Workbench, runs: RunFolder) -> Iterator[Client]:
    queue = RunQueue(runs, CHECKPOINTS_FOLDER)
    try:
        with served_demo(bench, queue) as url:
            yield Client(url, verbose=False)
    finally:
        queue.close()


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_over_the_web_a_zip_becomes_a_checkpoint_that_compare_takes(client: Client, pictures_zip: str) -> None:
    arguments: dict[str, Any] = {"labels": "new", "branch": "full", "epochs": 2, "learning_rate": 0.05}
    run_ = client.predict(
        data=handle_file(pictures_zip), name="colours", start="imagenet1k-efficientnet_lite0", batch_size=4, seed=0,
        api_name="/finetune", **arguments,
    )  # fmt: skip
    assert run_["standing"] == "finished", run_["status"]
    assert [epoch["number"] for epoch in run_["epochs"]] == [0, 1, 2]
    *_, answer = client.predict(
        handle_file(str(PICTURE)), run_["checkpoint"], "red", "cam", "signed", api_name="/compare"
    )
    assert answer["class_name"] == "red"
    assert "colours" in [row["name"] for row in client.predict(api_name="/checkpoints")]
    assert "colours" in [row["name"] for row in client.predict(api_name="/runs")]
    assert client.predict("colours", api_name="/run") == run_
    with pytest.raises(AppError, match="must be one of"):
        client.predict("no such run", api_name="/stop_run")
    with pytest.raises(AppError, match="epochs"):
        client.predict(
            data=None, name="bad", start="imagenet1k-efficientnet_lite0", batch_size=4, seed=0, api_name="/finetune",
            **{**arguments, "labels": "own", "epochs": 0},
        )  # fmt: skip
