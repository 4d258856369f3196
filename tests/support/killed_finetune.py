"""Fine-tunes of toy pictures that kill themselves, then resumed ones: `killed_finetune.py FOLDER WHERE ...`.

Part of test_killed_finetune.py. Each run is a process of its own, forked before torch has computed anything.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bsig.inputs.datasets.read import read_dataset
from bsig.model.backbones import classifier_from_timm
from bsig.model.checkpoints import save as checkpoints
from bsig.model.dual_branch import DualBranch
from bsig.training import finetune
from bsig.training.config import FinetuneConfig, SoftmaxHeadConfig, TrainingConfig
from bsig.training.features import file as feature_file
from bsig.training.loop import descent
from bsig.training.loop import state as training_state

torch.set_num_threads(1)
CONFIG = FinetuneConfig(softmax_head=SoftmaxHeadConfig(epochs=3), training=TrainingConfig(epochs=4, batch_size=4))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at_call(number: int, act: Callable, half: Callable[..., None] | None = None) -> Callable:
    """The function, whose so-many-th call does half of its work and kills the process."""
    calls: list[int] = []

    def called(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            if half:
                half(*arguments, **options)
            die()
        return act(*arguments, **options)

    return called


def half_saved(tensors: dict, file: Path, **options: Any) -> None:
    from safetensors.torch import save_file

    save_file(tensors, file, **options)
    Path(file).write_bytes(Path(file).read_bytes()[:70])


def small_model() -> DualBranch:
    torch.manual_seed(11)
    model = DualBranch(classifier_from_timm("test_resnet", pretrained=False))
    model.preprocessing = replace(model.preprocessing, input_size_hw=(64, 64), resize_to=72)
    return model


def arm(case: str) -> None:
    """Where the process is to die."""
    if case == "cache":  # rows are half-written
        feature_file.FeatureFile.publish = dies_at_call(1, feature_file.FeatureFile.publish)
    elif case == "epoch":  # 3 epochs of the softmax head and 2 of the branch have 6 steps each
        descent.Descent._take = dies_at_call(5 * 6 + 4, descent.Descent._take)
    elif case == "state":
        training_state.save_file = dies_at_call(3, training_state.save_file, half_saved)
    elif case == "checkpoint":
        checkpoints.save_file = dies_at_call(1, checkpoints.save_file, half_saved)


def run(case: str, folder: Path) -> None:
    model = small_model()
    finetune.start_model = lambda *_: model
    arm(case)
    images = read_dataset(folder / "images")
    finetune.finetune(images, folder / "run", CONFIG, resume=case == "resume", cache_folder=folder / "cache")


def forked(case: str, folder: Path) -> int:
    """How the run ended: 0, or the signal as a negative number."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(case, folder)
            code = 0
        finally:  # never on into the parent's code
            if code:
                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Runs each case in FOLDER/WHERE; FOLDER/WHERE-killed is how it looked when it was killed."""
    folder, codes = Path(sys.argv[1]), {}
    for case in sys.argv[2:]:
        code = forked(case.removesuffix("-again"), folder / case)
        shutil.copytree(folder / case, folder / f"{case}-killed")
        codes[case] = (code, forked("resume", folder / case))
    (folder / "ended.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main()
