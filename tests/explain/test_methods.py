"""The choice between the CAM variants: by key, by head, by treatment."""

from __future__ import annotations

import pytest
from torch import nn

from bsig.explain.cams import TRAINED, Branch
from bsig.explain.methods import (
    CAM_METHODS,
    TREATMENTS,
    clamps_weights,
    default_method,
    methods_of,
    require_exact,
    why_not_cam,
)
from bsig.inputs.errors import InputError
from bsig.model.heads import ClassificationHead, PooledLinearHead

EXACT = PooledLinearHead(nn.Linear(3, 2))


def other_head(*, pools_first: bool, maps_balance: bool = False) -> ClassificationHead:
    """A head for which CAM is not exact."""
    head = ClassificationHead()
    head.pools_first, head.maps_balance = pools_first, maps_balance
    return head


def test_each_treatment_clamps_the_branches_that_it_names() -> None:
    branches: tuple[Branch, ...] = (*TRAINED, "centred")
    clamped = {treatment: [clamps_weights(treatment, branch) for branch in branches] for treatment in TREATMENTS}
    assert clamped == {
        "signed": [False, False, False],
        "nonnegative": [True, True, True],
        "paper": [False, True, False],
    }


def test_a_head_is_explained_with_cam_where_it_is_exact_and_else_by_what_the_head_sees() -> None:
    assert default_method(EXACT) == "cam"
    assert default_method(other_head(pools_first=True)) == "grad-cam"
    assert default_method(other_head(pools_first=False)) == "hires-cam"


@pytest.mark.parametrize("head", [EXACT, other_head(pools_first=True), other_head(pools_first=False)])
def test_a_heads_methods_are_all_that_it_allows_and_begin_with_its_default(head: ClassificationHead) -> None:
    methods = methods_of(head)
    assert methods[0] == default_method(head)
    assert len(methods) == len(set(methods))
    assert set(methods) == set(CAM_METHODS) - (set() if head.cam_is_exact else {"cam"})


def test_why_a_head_has_no_cam_names_what_is_shown_instead() -> None:
    assert why_not_cam(EXACT) == ""
    assert "Grad-CAM" in why_not_cam(other_head(pools_first=True))
    assert "mean zero" not in why_not_cam(other_head(pools_first=True))
    assert "mean zero" in why_not_cam(other_head(pools_first=True, maps_balance=True))
    assert "HiResCAM" in why_not_cam(other_head(pools_first=False))


def test_what_needs_an_exact_head_is_refused_for_another_by_its_name() -> None:
    require_exact(True, "Painting a map")
    with pytest.raises(InputError, match="Painting a map needs a head of average pool and one linear layer"):
        require_exact(False, "Painting a map")
