"""A model whose heads carry one more vector: the same classifier, other maps, and nothing of the original changed."""

from __future__ import annotations

import pytest
import torch

from bsig.explain.diagnostics.shifted_model import doctored_model, shifted_model
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead

VECTOR = torch.linspace(-0.01, 0.01, 1280)


def row_change(head: ClassificationHead, original: ClassificationHead) -> torch.Tensor:
    return (head.last_linear.weight - original.last_linear.weight).detach()


def test_every_row_of_both_heads_gains_the_vector_and_the_original_keeps_its_own(perturbed_model: DualBranch) -> None:
    before = perturbed_model.softmax_head.last_linear.weight.detach().clone()
    result = shifted_model(perturbed_model, VECTOR)
    for head, original in (
        (result.softmax_head, perturbed_model.softmax_head),
        (result.sigmoid_head, perturbed_model.sigmoid_head),
    ):
        torch.testing.assert_close(row_change(head, original), VECTOR.expand_as(before), atol=1e-6, rtol=0)
        assert torch.equal(head.last_linear.bias, original.last_linear.bias)
    assert torch.equal(perturbed_model.softmax_head.last_linear.weight, before)
    assert result.encoder is perturbed_model.encoder


def test_a_doctored_model_keeps_its_sigmoid_branch_and_says_what_was_done(perturbed_model: DualBranch) -> None:
    model, description = doctored_model(perturbed_model, VECTOR, "a ramp")
    assert not row_change(model.sigmoid_head, perturbed_model.sigmoid_head).any()
    assert row_change(model.softmax_head, perturbed_model.softmax_head).any()
    assert (description["is_doctored"], description["how"]) == (True, "a ramp")


@pytest.mark.parametrize("vector", [torch.zeros(7), torch.full((1280,), torch.nan)])
def test_a_vector_that_does_not_fit_is_refused(perturbed_model: DualBranch, vector: torch.Tensor) -> None:
    with pytest.raises(InputError, match="must hold 1280 finite numbers"):
        shifted_model(perturbed_model, vector)
