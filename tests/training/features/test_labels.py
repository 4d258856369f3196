"""The classes of pictures as one tensor: one index each, or several with an end."""

from __future__ import annotations

import torch

from bsig.inputs.datasets.samples import Sample
from bsig.training.features.labels import is_present, is_right, label_tensor, present_classes, shares


def test_pictures_of_one_class_have_one_index_each() -> None:
    assert torch.equal(label_tensor([(2,), (0,)]), torch.tensor([2, 0]))
    assert torch.equal(is_present(torch.tensor([2, 0]), 3), torch.tensor([[0, 0, 1], [1, 0, 0]]).bool())


def test_pictures_of_several_classes_have_them_all() -> None:
    labels = label_tensor([(2,), (0, 3), (1, 0, 2)])
    assert torch.equal(labels, torch.tensor([[2, -1, -1], [0, 3, -1], [1, 0, 2]]))
    present = [[0, 0, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0]]
    assert torch.equal(is_present(labels, 4), torch.tensor(present).bool())
    assert torch.equal(shares(labels, 4).sum(dim=1), torch.ones(3))
    assert is_right(torch.tensor([2, 3, 3]), labels).tolist() == [True, True, False]


def test_an_answer_is_never_the_mark_behind_the_last_class() -> None:
    assert is_right(torch.tensor([0]), torch.tensor([[1, -1]])).tolist() == [False]


def test_the_classes_of_a_sample_are_those_that_are_known_each_once() -> None:
    sample = Sample("a", "ant", None, further_classes=("bee", "wasp", "cow"))
    assert present_classes(sample, {"ant": 4, "bee": 1, "wasp": 1}) == (4, 1)
