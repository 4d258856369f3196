"""A cell's own logits: their mean over the grid is the branch's logit, and one cell's softmax is a picture's of it."""

from __future__ import annotations

import torch
from tolerances import FLOAT32, assert_close

from bsig.explain.cells import cell_evidence
from bsig.explain.explainer import EncodedImage
from bsig.model.dual_branch import DualBranch

CLASSES = [574, 285, 0]


def test_the_mean_over_the_cells_is_each_branchs_logit(encoded: EncodedImage) -> None:
    cells = cell_evidence(encoded, CLASSES)
    assert cells is not None
    assert_close(cells.softmax_logits.mean(dim=(1, 2)), encoded.softmax_logits[CLASSES], FLOAT32)
    assert_close(cells.sigmoid_logits.mean(dim=(1, 2)), encoded.sigmoid_logits[CLASSES], FLOAT32)


def test_a_cell_alone_is_a_picture_that_is_that_cell_everywhere(
    perturbed_model: DualBranch, encoded: EncodedImage
) -> None:
    cells = cell_evidence(encoded, CLASSES)
    assert cells is not None
    everywhere = encoded.features[:, :, 3:4, 2:3].expand_as(encoded.features)
    with torch.no_grad():
        probabilities = perturbed_model.softmax_logits(everywhere)[0].softmax(dim=0)
        loudest = perturbed_model.sigmoid_logits(everywhere)[0].topk(3).indices
    assert_close(cells.alone[:, 3, 2], probabilities[CLASSES], FLOAT32)
    assert cells.sigmoid_classes[3, 2].tolist() == loudest.tolist()
    assert cells.softmax_classes[3, 2, 0] == probabilities.argmax()
