"""Drag a heatmap: the map of one class at every place that a pointer asks for, and the probabilities there.

    drag = map_drag(encoded, class_index, "softmax")
    painted = drag.painted_map((0, 6))           # the heatmap in the top right corner
    drag.probabilities(painted)                  # of the likeliest classes, as they were

The smallest shift `v` that paints a target reaches `M + U U^T (target - M)` (`painted_shift.painting_basis`), and of an
average pool and a linear layer every logit moves by the same number, the mean of that change. Both are linear, so the
features are decomposed once for a picture and a browser draws each step by itself (`ui/components/static/page.js`
holds the same two formulas). Nothing here forms the shifted head; tests compare with the head that is formed and run.
The shift is from Oh and Noh, BMVC 2025, arXiv 2511.05590.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from bsig.explain.cams import TrainedBranch
from bsig.explain.diagnostics.painted_shift import painting_basis, target_at_cell
from bsig.explain.explainer import EncodedImage
from bsig.explain.methods import require_exact

CLASSES_SHOWN = 5
Place = tuple[float | int, float | int]
"""Row and column from 0, fractions between two cells."""


@dataclass(frozen=True)
class MapDrag:
    """What it takes to drag the map of one class.

    Attributes:
        class_name: whose map.
        branch: whose map and whose probabilities.
        own_map: as the model has it, CAM with signed weights, in logits.
        basis: `U`; None where every map can be painted.
        class_names: the likeliest classes first, and `class_name` where it is none of them.
        logits: of these classes.
        other_logits: softmax's `log sum exp` over all classes that are not shown; None for the sigmoid branch or none.
        offset, temperature: probability = `sigmoid((logit - offset) / temperature)`, of the sigmoid branch.
        is_calibrated: whether that is the calibrated probability of the class being there.
    """

    class_name: str
    branch: TrainedBranch
    own_map: Float[np.ndarray, "h w"]
    basis: Float[np.ndarray, "n r"] | None
    class_names: tuple[str, ...]
    logits: Float[np.ndarray, " s"]
    other_logits: float | None = None
    offset: float = 0.0
    temperature: float = 1.0
    is_calibrated: bool = False

    def painted_map(self, place: Place) -> Float[np.ndarray, "h w"]:
        """The map that the smallest shift paints when the heatmap is dragged to a place.

        Raises:
            InputError: the place lies outside of the grid.
        """
        own = self.own_map.astype(np.float64)
        change = target_at_cell(torch.from_numpy(own), *place).numpy() - own
        if self.basis is not None:
            change = (self.basis @ (self.basis.T @ change.ravel())).reshape(own.shape)
        return own + change

    def probabilities(self, target: Float[np.ndarray, "h w"]) -> Float[np.ndarray, " s"]:
        """The probabilities of the shown classes with the shift that paints `target` in every class of the head."""
        logits = self.logits + float(target.mean() - self.own_map.mean(dtype=np.float64))
        if self.branch == "sigmoid":
            return 1 / (1 + np.exp(-(logits - self.offset) / self.temperature))
        others = [] if self.other_logits is None else [self.other_logits + float((logits - self.logits)[0])]
        total = np.logaddexp.reduce([*logits, *others])
        return np.exp(logits - total)


def map_drag(encoded: EncodedImage, class_index: int, branch: TrainedBranch = "softmax") -> MapDrag:
    """The drag of one class's map in one branch.

    Raises:
        InputError: no such class, or a head other than average pool and one linear layer.
    """
    head = encoded.model.softmax_head
    require_exact(head.cam_is_exact, "Dragging a map")
    own = encoded.explain(class_index, "cam", reading="plain").evidence(branch).map
    basis = painting_basis(encoded.features[0]).cpu().numpy()
    logits = (encoded.softmax_logits if branch == "softmax" else encoded.sigmoid_logits).double().cpu()
    top = encoded.top_classes(count=min(CLASSES_SHOWN, len(logits)))
    indices = list(dict.fromkeys([*top, class_index]))
    is_other = torch.ones(len(logits), dtype=torch.bool)
    is_other[indices] = False
    others = float(logits[is_other].logsumexp(0)) if branch == "softmax" and bool(is_other.any()) else None
    presence = encoded.model.presence if branch == "sigmoid" else None
    return MapDrag(
        class_name=encoded.model.class_names[class_index],
        branch=branch,
        own_map=own,
        basis=None if basis.shape[0] == basis.shape[1] else basis,
        class_names=tuple(encoded.model.class_names[index] for index in indices),
        logits=logits[indices].numpy(),
        other_logits=others,
        offset=presence.offset if presence else 0.0,
        temperature=presence.temperature if presence else 1.0,
        is_calibrated=presence is not None,
    )
