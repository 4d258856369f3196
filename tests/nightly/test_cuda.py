"""What CUDA gives is what the CPU gives, to the rounding of its arithmetic. Skipped where torch finds no GPU.

Run on a GPU: `python -m pytest -m nightly tests/nightly/test_cuda.py`. It needs no gradio (`--noconftest` then).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bsig import CAM_METHODS, READINGS, Explainer, load_checkpoint
from bsig.evaluation.config import EvaluationConfig
from bsig.evaluation.evaluate import evaluate
from bsig.inputs.datasets.read import read_dataset
from bsig.inputs.paths import EXAMPLES
from bsig.model.checkpoints.names import DEFAULT_CHECKPOINT
from bsig.model.weights import state_sha256
from bsig.training.config import FinetuneConfig, TrainingConfig
from bsig.training.finetune import Finetuned, finetune

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]
# Convolutions on CUDA run in TF32 where torch allows it, as it does by default: 10 bits after the point, 60 layers.
TF32_SHARE_OF_RANGE = 5e-3
ONE_OF_TWELVE = 1 / 12 + 1e-9  # rounding may turn one picture's order of classes or of places
PICTURES = sorted(path for path in EXAMPLES.iterdir() if path.suffix in {".jpg", ".jpeg", ".png", ".webp"})


def share_of_range(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, in parts of the range of what is expected."""
    return float(np.abs(actual - expected).max() / max(np.ptp(expected), 1e-12))


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "tf32"])
def convolutions(request: pytest.FixtureRequest) -> Iterator[float]:
    """Convolutions in either arithmetic, and the largest share of the range by which a map may differ."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = request.param
    yield TF32_SHARE_OF_RANGE if request.param else 1e-4
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("method", [name for name in CAM_METHODS if name != "score-cam"])
def test_every_method_draws_the_map_of_the_cpu(method: str, convolutions: float) -> None:
    evidences = {}
    for device in ("cpu", "cuda"):
        encoded = Explainer(load_checkpoint(DEFAULT_CHECKPOINT, device)).encode(PICTURES[0])
        explanation = encoded.explain(encoded.top_classes()[0], method)
        evidences[device] = explanation.evidences
    for branch, evidence in evidences["cpu"].items():
        other = evidences["cuda"][branch]
        assert share_of_range(other.map, evidence.map) <= convolutions, branch
        assert abs(other.logit - evidence.logit) <= convolutions * np.ptp(evidence.map), branch


@pytest.mark.parametrize("reading", list(READINGS))
def test_every_reading_is_that_of_the_cpu(reading: str) -> None:
    maps = []
    for device in ("cpu", "cuda"):
        encoded = Explainer(load_checkpoint(DEFAULT_CHECKPOINT, device)).encode(PICTURES[0])
        first, second = encoded.top_classes(count=2)
        other = second if READINGS[reading].needs_other_class else None
        maps.append(encoded.explain(first, "cam", reading=reading, other_class=other).softmax.map)
    assert share_of_range(maps[1], maps[0]) <= TF32_SHARE_OF_RANGE


def test_many_pictures_at_once_are_each_picture_alone() -> None:
    explainer = Explainer(load_checkpoint(DEFAULT_CHECKPOINT, "cuda"))
    for alone, batched in zip(map(explainer.encode, PICTURES), explainer.encode_many(PICTURES), strict=True):
        assert share_of_range(batched.features.cpu().numpy(), alone.features.cpu().numpy()) <= TF32_SHARE_OF_RANGE


def test_a_thousand_questions_take_no_memory_of_the_gpu() -> None:
    encoded = Explainer(load_checkpoint(DEFAULT_CHECKPOINT, "cuda")).encode(PICTURES[0])
    encoded.explain(0, "cam")
    before = torch.cuda.memory_allocated()
    for class_index in range(1000):
        encoded.explain(class_index, "cam")
    assert torch.cuda.memory_allocated() <= before + 2**20


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of coloured patches, named after classes of ImageNet, twelve pictures each."""
    root = tmp_path_factory.mktemp("patches") / "patches"
    generator = np.random.default_rng(5)
    for name, colour in (("goldfish", (220, 90, 30)), ("golf ball", (235, 235, 235)), ("daisy", (240, 220, 60))):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(0, 90, (96, 96, 3), dtype=np.uint8)
            top, left = generator.integers(0, 48, 2)
            pixels[top : top + 48, left : left + 48] = colour
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def finetuned(patches: Path, out: Path, device: str) -> Finetuned:
    config = FinetuneConfig(device=device, training=TrainingConfig(epochs=4, batch_size=8, learning_rate=0.05))
    return finetune(read_dataset(patches), out, config, cache_folder=out.with_name(f"cache-{device}"))


def test_a_branch_trained_on_cuda_is_the_branch_of_the_cpu_and_the_softmax_head_stays(
    patches: Path, tmp_path: Path
) -> None:
    """Features are encoded in half precision on CUDA: three decimals of a weight's own change."""
    base = load_checkpoint(DEFAULT_CHECKPOINT)
    frozen = state_sha256(base.encoder, base.softmax_head)
    rows = {}
    for device in ("cpu", "cuda"):
        result = finetuned(patches, tmp_path / device, device)
        model = load_checkpoint(result.path)
        assert state_sha256(model.encoder, model.softmax_head) == frozen
        rows[device] = torch.cat([value.flatten() for value in model.sigmoid_head.state_dict().values()])
    start = torch.cat([value.flatten() for value in base.softmax_head.state_dict().values()])
    change, difference = (rows["cpu"] - start).norm(), (rows["cuda"] - rows["cpu"]).norm()
    assert change > 0
    assert difference <= 0.05 * change


def test_the_tables_of_an_evaluation_are_those_of_the_cpu(patches: Path) -> None:
    results = {}
    config = EvaluationConfig(methods=("cam", "grad-cam++"), limit=12)
    for device in ("cpu", "cuda"):
        results[device] = evaluate(load_checkpoint(DEFAULT_CHECKPOINT, device), read_dataset(patches), config)
    numbers = {device: list(leaves(result)) for device, result in results.items()}
    assert [name for name, _ in numbers["cpu"]] == [name for name, _ in numbers["cuda"]]
    far = [
        (name, cpu, cuda)
        for (name, cpu), (_, cuda) in zip(numbers["cpu"], numbers["cuda"], strict=True)
        if abs(cpu - cuda) > max(ONE_OF_TWELVE, 0.05 * abs(cpu))
    ]
    assert not far, far[:5]


def leaves(value: object, name: str = "") -> list[tuple[str, float]]:
    """Every number in a result but its seconds, with its path."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{name}.{key}")]
    if isinstance(value, list):
        return [leaf for place, inner in enumerate(value) for leaf in leaves(inner, f"{name}.{place}")]
    return [(name, value)] if isinstance(value, float) and "second" not in name else []


def test_one_process_under_torchrun_trains_over_nccl(patches: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m", "bsig"),
        *("finetune", str(patches), "--out", str(tmp_path / "branch"), "--device", "cuda", "--epochs", "2"),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    assert asdict(load_checkpoint(tmp_path / "branch", "cuda").preprocessing)
