"""Class names as text embeddings: the mean of prompts at the length 1, and what is said without open_clip."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from commands import refusal
from tolerances import FLOAT32, assert_close
from torch import nn

from bsig.inputs.errors import InputError
from bsig.model.text_tower import NAMES_AT_ONCE, embedded_classes, open_clip_embeddings

TABLE = torch.randn(128, 6, generator=torch.Generator().manual_seed(4))


def _encoded(texts: list[str]) -> torch.Tensor:
    """A text tower of one layer: the sum of an embedding a letter."""
    return torch.stack([nn.functional.embedding(torch.tensor([ord(c) for c in text]), TABLE).sum(0) for text in texts])


def test_a_class_is_the_mean_of_its_prompts_at_the_length_1() -> None:
    names = [f"name {number}" for number in range(NAMES_AT_ONCE + 3)]
    templates = ("a photo of a {}.", "{} in the wild", "one {}")
    embedded = embedded_classes(names, templates, _encoded)
    for name, row in zip(names, embedded, strict=True):
        prompts = [_encoded([template.format(name)])[0] for template in templates]
        assert_close(row, sum(prompt / prompt.norm() for prompt in prompts) / 3, FLOAT32)


@pytest.mark.parametrize("templates", [(), ("a photo",), ("{} and {}",)])
def test_a_template_without_one_place_for_the_name_is_refused(templates: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"one \{\} where the class name goes"):
        embedded_classes(["ant", "bee"], templates, _encoded)


def test_a_name_with_braces_is_taken_as_it_is() -> None:
    embedded = embedded_classes(["{0}", "{}"], ("a {}",), _encoded)
    assert_close(embedded[1], nn.functional.normalize(_encoded(["a {}"]), dim=1)[0], FLOAT32)


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(InputError, match="pip install open_clip_torch"):
        open_clip_embeddings(["ant", "bee"], "ViT-B-16-SigLIP", "webli")


def test_the_command_says_so_too_and_refuses_another_format_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    names = tmp_path / "names.txt"
    names.write_text("ant\nbee\n", encoding="utf-8")
    arguments = ("embed-classes", names, "--text-model", "ViT-B-16-SigLIP", "--pretrained", "webli", "--out")
    assert "open_clip_torch" in refusal(capsys, *arguments, tmp_path / "a.npz")
    assert "must end in .npz or .safetensors" in refusal(capsys, *arguments, tmp_path / "a.csv")
    (tmp_path / "empty.txt").write_text("\n")
    templates = ("--templates", tmp_path / "empty.txt")
    assert "`--templates`" in refusal(capsys, *arguments, tmp_path / "a.npz", *templates)
