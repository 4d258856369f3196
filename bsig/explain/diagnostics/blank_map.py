"""Why a heatmap is blank, nearly flat or misleading, whether its zero means anything, and what shows the evidence.

    diagnosis = blank_map_diagnosis(encoded, "golf ball", "grad-cam++", branch="softmax")
    diagnosis.headline, diagnosis.causes, diagnosis.zero, diagnosis.mends

A heatmap that starts at zero is blank where nothing in the map is above zero. That has few causes, and each leaves its
trace in the numbers behind the map: the grid, the features, the gradient of the class's logit, the channel weights.
`CAUSES` is the table of them; every rule that holds speaks, the first one first.

Many libraries hide the question: they rescale each map to its own minimum and maximum, `(M - min M) / (max M - min M)`.
Then no map is blank, a map of nothing but evidence *against* the class has a bright maximum too, and a map that is
nearly flat gets full contrast. `Stretching` says what that would do to the map at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from bsig.explain.cams import TRAINED, Branch, TrainedBranch
from bsig.explain.diagnostics.logit_shift import shared_map_share
from bsig.explain.diagnostics.painted_shift import painted_shift
from bsig.explain.explainer import EncodedImage, Progress
from bsig.explain.explanation import Evidence, Explanation
from bsig.explain.methods import CAM_METHODS, cam_method, clamps_weights, default_method
from bsig.explain.readings import LINEAR_METHODS, why_not_reading
from bsig.explain.verdict import capital, part_of
from bsig.explain.wording import as_long_as, number_text, share_percent
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch

SMALLEST = 1e-12
"""A gradient, weight or feature up to this size is zero: float32 gradients of real networks are far above it."""
NEARLY_FLAT = 0.1
"""A map whose range is below this share of its largest |value| is called nearly flat."""
HOT = 0.5
"""The share of a stretched map's range from which a cell looks hot."""
POSITIVE_GRADIENTS = ("grad-cam++", "layer-cam")
AVERAGED_GRADIENTS = ("grad-cam", "xgrad-cam")


@dataclass(frozen=True)
class MapFacts:
    """The numbers behind a map that tell why it looks as it does.

    Attributes:
        method: a key of `CAM_METHODS`.
        is_clamped: whether negative channel weights were set to zero.
        grid_hw: rows and columns.
        feature_size: largest |feature|.
        feature_range: the largest range of one channel over the grid.
        gradient_size: largest |gradient| of the logit by a feature; None for a method that takes none.
        gradient_max: the largest gradient, with its sign; None likewise.
        weight_max: the largest weight of a channel before any clamping; None for Eigen-CAM, which has none, and for
            Score-CAM, whose weights are never negative.
        weight_size: the largest |weight|, likewise.
        map_min, map_max: of the map, in its unit.
        positive_area: share of cells above zero, 0 to 1.
        is_one_sided: whether negative weights or gradients, of which there are some, are left out of the map: its cells
            above zero then do not weigh what speaks for the class against what speaks against it.
    """

    class_name: str
    method: str
    is_clamped: bool
    grid_hw: tuple[int, int]
    feature_size: float
    feature_range: float
    gradient_size: float | None
    gradient_max: float | None
    weight_max: float | None
    weight_size: float | None
    map_min: float
    map_max: float
    positive_area: float
    is_one_sided: bool

    @property
    def knows_class(self) -> bool:
        """Whether the map is one of the class at all: Eigen-CAM's is not."""
        return self.method != "eigen-cam"

    @property
    def omission(self) -> str:
        """What a one-sided map leaves out, as the subject of a clause; empty for any other map."""
        if not self.is_one_sided:
            return ""
        if self.method == "score-cam":
            return "Score-CAM has no negative weights"
        if self.method in POSITIVE_GRADIENTS:
            return f"{self.title} leaves out all negative gradients"
        return "the treatment leaves out all negative weights"

    @property
    def title(self) -> str:
        """The method's title."""
        return CAM_METHODS[self.method].title

    @property
    def map_size(self) -> float:
        """The largest |value| of the map."""
        return max(abs(self.map_min), abs(self.map_max))

    @property
    def is_zero(self) -> bool:
        """Whether the map is zero everywhere."""
        return self.map_size <= SMALLEST

    @property
    def is_blank(self) -> bool:
        """Whether a heatmap that starts at zero shows nothing."""
        return self.map_max <= SMALLEST

    @property
    def relative_range(self) -> float:
        """The map's range as a share of its largest |value|; 0 for a map of zeros."""
        return 0.0 if self.is_zero else (self.map_max - self.map_min) / self.map_size


@dataclass(frozen=True)
class Cause:
    """One reason why a map is blank or says less than it seems to.

    Attributes:
        key: of the rule in `CAUSES`.
        sentence: what is the matter, with this map's numbers.
        remedy: what to do.
    """

    key: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class _Rule:
    key: str
    holds: Callable[[MapFacts], bool]
    sentence: Callable[[MapFacts], str]
    remedy: Callable[[MapFacts], str]


def _has_places(facts: MapFacts) -> bool:
    return facts.grid_hw != (1, 1)


def _has_gradient(facts: MapFacts) -> bool:
    return facts.gradient_size is None or facts.gradient_size > SMALLEST


def _positive_gradients_are_missing(facts: MapFacts) -> bool:
    is_asked = facts.method in POSITIVE_GRADIENTS and facts.gradient_max is not None
    return is_asked and _has_gradient(facts) and (facts.gradient_max or 0.0) <= SMALLEST


def _gradient_averages_out(facts: MapFacts) -> bool:
    is_asked = facts.method in AVERAGED_GRADIENTS and facts.weight_size is not None
    return is_asked and _has_gradient(facts) and (facts.weight_size or 0.0) <= SMALLEST


def _all_weights_are_clamped(facts: MapFacts) -> bool:
    return facts.is_clamped and facts.weight_max is not None and facts.weight_max <= 0 < (facts.weight_size or 0.0)


def _is_explained(facts: MapFacts) -> bool:
    """Whether one of the rules on what the map is made of holds."""
    return (
        facts.feature_size <= SMALLEST
        or not _has_gradient(facts)
        or _positive_gradients_are_missing(facts)
        or _gradient_averages_out(facts)
        or _all_weights_are_clamped(facts)
    )


def _negative_cells(facts: MapFacts) -> str:
    """What a map without a cell above zero says."""
    if facts.is_one_sided:
        return f"No cell is above zero, though {facts.omission}"
    if facts.map_max < 0:
        return f"All evidence is negative: every cell speaks against {facts.class_name}"
    return f"No cell speaks for {facts.class_name}, and some speak against it"


CAUSES: tuple[_Rule, ...] = (
    _Rule(
        "no places",
        lambda facts: not _has_places(facts),
        lambda _: "The layer has no places: its grid is a single cell, so every map is one colour.",
        lambda _: "Take the features at an earlier layer (the feature stage in Models, `--layer` on the command line).",
    ),
    _Rule(
        "zero features",
        lambda facts: facts.feature_size <= SMALLEST,
        lambda _: "The features are zero everywhere: the layer passes nothing of this picture on, whatever the class.",
        lambda _: "Check the weights and the preprocessing, or take the features at an earlier layer.",
    ),
    _Rule(
        "zero gradient",
        lambda facts: facts.feature_size > SMALLEST and not _has_gradient(facts),
        lambda facts: f"The gradient is zero everywhere: no feature of this layer moves the logit of "
        f"{facts.class_name}.",
        lambda _: "Take the features at another layer, or check that the class's weights were loaded; no method that "
        "uses this gradient can show more.",
    ),
    _Rule(
        "no positive gradient",
        _positive_gradients_are_missing,
        lambda facts: f"No gradient is positive, and {facts.title} keeps positive gradients alone: nothing is left.",
        lambda _: "Choose a method that keeps the sign (CAM, Grad-CAM or HiResCAM) and the signed view.",
    ),
    _Rule(
        "gradient averages out",
        _gradient_averages_out,
        lambda facts: f"The gradient is not zero, but its average over the grid is, and {facts.title} uses only that.",
        lambda _: "Choose HiResCAM, which takes the gradient of each cell for itself.",
    ),
    _Rule(
        "weights clamped",
        _all_weights_are_clamped,
        lambda facts: f"All channel weights of {facts.class_name} are negative, and the treatment sets them to zero.",
        lambda _: "Choose signed weights.",
    ),
    _Rule(
        "cancels",
        lambda facts: facts.is_zero and _has_places(facts) and not _is_explained(facts),
        lambda facts: "The features are the same in every cell, so there is nothing to tell places apart by."
        if facts.feature_range <= SMALLEST
        else f"What is left is zero in every cell: {facts.omission}."
        if facts.is_one_sided
        else "What speaks for the class and against it cancels in every cell.",
        lambda _: "Take the features at another layer, or choose another method.",
    ),
    _Rule(
        "all negative",
        lambda facts: facts.is_blank and not facts.is_zero,
        lambda facts: f"{_negative_cells(facts)} (from {number_text(facts.map_min)} to {number_text(facts.map_max)}).",
        lambda _: "Look at the signed view, or at the class-centred map, which no shift of the classes moves.",
    ),
    _Rule(
        "nearly flat",
        lambda facts: _has_places(facts) and not facts.is_zero and facts.relative_range < NEARLY_FLAT,
        lambda facts: f"The map is nearly flat: its range is {share_percent(facts.relative_range)} of its largest "
        "value, so it hardly says where.",
        lambda _: "Do not stretch it: the class-centred map takes out what all classes share.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Stretching:
    """What rescaling a map to its own minimum and maximum would show.

    Attributes:
        contrast: by how much the differences between places are magnified against a scale that starts at zero.
        hot_area: share of cells that would look hot, 0 to 1.
        hot_against: share of cells that would look hot although they do not speak for the class, 0 to 1.
    """

    contrast: float
    hot_area: float
    hot_against: float


@dataclass(frozen=True)
class MapZero:
    """Whether a map's zero means anything, and how far a logit shift can move it.

    Attributes:
        is_arbitrary: whether a shift that no probability of the branch can see moves the map.
        sentence: says it in words.
        shared_share: norm of the map that all classes share beside the class's own map; None where there is none.
        paintable_cells: on how many cells a shift can set the map independently; None for a method whose map is not
            linear in the weights.
        blanking_shift: norm of the smallest shift that leaves nothing of the map, as a share of the norm of the class's
            weights; None where it is not known or no shift does.
    """

    is_arbitrary: bool
    sentence: str
    shared_share: float | None = None
    paintable_cells: int | None = None
    blanking_shift: float | None = None


@dataclass(frozen=True)
class Mend:
    """Another look at the same evidence.

    Attributes:
        key: `signed`, `centred`, `levelled`, `sigmoid` or `method`.
        title, sentence: what it is, and what it shows here.
        map: (h, w), signed.
        method: the key of the CAM variant, which has the map's unit.
    """

    key: str
    title: str
    sentence: str
    map: Float[np.ndarray, "h w"]
    method: str


@dataclass(frozen=True)
class BlankMapDiagnosis:
    """The whole diagnosis of one map.

    Attributes:
        causes: from the first rule of `CAUSES` that holds to the last; none for a map without a fault.
        stretching: None for a map that is the same in all cells, which cannot be stretched.
    """

    explanation: Explanation
    branch: TrainedBranch
    facts: MapFacts
    causes: tuple[Cause, ...]
    stretching: Stretching | None
    zero: MapZero
    mends: tuple[Mend, ...]

    @property
    def evidence(self) -> Evidence:
        """The evidence of the branch that was asked about."""
        return self.explanation.evidence(self.branch)

    @property
    def headline(self) -> str:
        """One or two sentences: whether the map is blank, and why."""
        facts = self.facts
        if facts.is_blank:
            return f"This heatmap is blank. {self.causes[0].sentence}"
        area = part_of(facts.positive_area)
        claim = f"{area} of the picture speaks for {facts.class_name}."
        if not facts.knows_class:
            claim = (
                f"{area} of the picture is above zero, which says nothing of {facts.class_name}: {facts.title} "
                "knows no class."
            )
        elif facts.is_one_sided:
            claim = f"{area} of the picture is above zero, but {facts.omission}."
        return " ".join([f"This heatmap is not blank: {claim}", *(cause.sentence for cause in self.causes[:1])])

    @property
    def stretching_sentence(self) -> str:
        """What a library that stretches maps would show."""
        if self.stretching is None:
            return "Stretching cannot help: all cells have the same value."
        hot, against = self.stretching.hot_area, self.stretching.hot_against
        words = f"Stretched to its own minimum and maximum it would look hot on {part_of(hot)} of the picture"
        if against:
            which = "nearly all of that" if part_of(against) == part_of(hot) else f"on {part_of(against)}"
            which = "all of that" if against == hot else which
            claim = f"speaking for {self.facts.class_name}" if self.facts.knows_class else "being above zero"
            return f"{words}, {which} without {claim}."
        if self.stretching.contrast >= 1 / NEARLY_FLAT:
            return f"{words}, with differences {self.stretching.contrast:.0f} times as strong as they are."
        return f"{words}, and hide where zero is."


def blank_map_diagnosis(
    encoded: EncodedImage,
    class_index: int | str | None = None,
    method: str | None = None,
    weights: str = "signed",
    *,
    branch: str = "softmax",
    score_cam_channels: int | None = None,
    progress: Progress | None = None,
) -> BlankMapDiagnosis:
    """Why a branch's map of one class looks as it does.

    Args:
        encoded: the picture, by the model and layer that are asked about.
        class_index, method, weights, score_cam_channels, progress: as of `EncodedImage.explain`.
        branch: whose map.

    Raises:
        InputError: as `EncodedImage.explain`, or a branch that is neither `softmax` nor `sigmoid`.
    """
    trained_branch = _trained_branch(branch)
    explanation = encoded.explain(
        class_index, method, weights, score_cam_channels=score_cam_channels, progress=progress
    )
    facts = map_facts(encoded, explanation, trained_branch)
    causes = tuple(Cause(rule.key, rule.sentence(facts), rule.remedy(facts)) for rule in CAUSES if rule.holds(facts))
    return BlankMapDiagnosis(
        explanation=explanation,
        branch=trained_branch,
        facts=facts,
        causes=causes,
        stretching=stretching(explanation.evidence(trained_branch).map),
        zero=map_zero(encoded, explanation, trained_branch, facts),
        mends=_mends(encoded, explanation, trained_branch, facts),
    )


def _trained_branch(branch: str) -> TrainedBranch:
    for trained_branch in TRAINED:
        if branch == trained_branch:
            return trained_branch
    raise InputError(f"`branch` (='{branch}') must be {' or '.join(TRAINED)}.")


def map_facts(encoded: EncodedImage, explanation: Explanation, branch: TrainedBranch) -> MapFacts:
    """The numbers behind a branch's map."""
    method, values = cam_method(explanation.method), explanation.evidence(branch).map
    features = encoded.features[0]
    takes_gradient = method.key not in ("eigen-cam", "score-cam", "ablation-cam")
    score = encoded.score(branch, explanation.class_index)
    weights = method.weights(score) if method.weights and not method.is_slow else None
    is_clamped = clamps_weights(explanation.weights, branch)
    signs = score.gradient if method.key in POSITIVE_GRADIENTS else weights if is_clamped else None
    return MapFacts(
        class_name=explanation.class_name,
        method=method.key,
        is_clamped=is_clamped,
        grid_hw=(values.shape[0], values.shape[1]),
        feature_size=float(features.abs().max()),
        feature_range=float((features.amax(dim=(1, 2)) - features.amin(dim=(1, 2))).max()),
        gradient_size=float(score.gradient.abs().max()) if takes_gradient else None,
        gradient_max=float(score.gradient.max()) if takes_gradient else None,
        weight_max=None if weights is None else float(weights.max()),
        weight_size=None if weights is None else float(weights.abs().max()),
        map_min=float(values.min()),
        map_max=float(values.max()),
        positive_area=explanation.evidence(branch).positive_area,
        is_one_sided=method.key == "score-cam" or (signs is not None and float(signs.min()) < 0),
    )


def stretched_map(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """`(M - min M) / (max M - min M)`, 0 to 1: what libraries that rescale each map draw; zeros for a constant map."""
    spread = float(values.max()) - float(values.min())
    return (values - values.min()) / np.float32(spread) if spread > 0 else np.zeros_like(values)


def stretching(values: Float[np.ndarray, "h w"]) -> Stretching | None:
    """What stretching a map would show; None for a map that is the same in all cells."""
    spread = float(values.max()) - float(values.min())
    size = float(np.abs(values).max())
    if spread <= SMALLEST:
        return None
    hot = stretched_map(values) >= HOT
    return Stretching(size / spread, float(hot.mean()), float((hot & (values <= 0)).mean()))


def map_zero(encoded: EncodedImage, explanation: Explanation, branch: TrainedBranch, facts: MapFacts) -> MapZero:
    """Whether the zero of a branch's map is arbitrary, and how far a logit shift can move the map."""
    model = encoded.model
    if not facts.knows_class:
        return MapZero(True, "The zero is the mean over the grid, by construction: it says nothing about the class.")
    omission = f" {capital(facts.omission)}, so zero is not where for and against meet." if facts.is_one_sided else ""
    balances = model.softmax_head.maps_balance and facts.method in LINEAR_METHODS and not facts.is_clamped
    balance = " A norm behind the pool makes the map's mean zero, whatever the class." if balances else ""
    if branch == "sigmoid" and model.is_trained:
        return MapZero(False, _zero_of_sigmoid(model, omission + balance))
    clone = " The sigmoid branch is still the clone of softmax." if branch == "sigmoid" else ""
    if not model.softmax_head.cam_is_exact:
        return MapZero(True, f"The zero is arbitrary: one vector added to the weights of every class moves the map "
                       f"and leaves every softmax probability as it is.{omission}{balance}{clone}")  # fmt: skip
    return _zero_of_linear_head(encoded, explanation, facts, omission + clone)


def _zero_of_sigmoid(model: DualBranch, limits: str) -> str:
    """The zero of a sigmoid branch of its own: labels have fixed it where they and nothing else made it."""
    if model.is_zero_shot:
        return (
            "No shift moves this map unseen: it would change the sigmoid branch's probabilities. But no labels have "
            f"fixed its zero: the model is zero-shot.{limits}"
        )
    if limits:
        return (
            "No shift moves this map unseen: it would change the sigmoid branch's probabilities. But labels alone have "
            f"not fixed its zero.{limits}"
        )
    return (
        "The zero is not arbitrary: a shift would change the sigmoid branch's probabilities, so labels have fixed it."
    )


def _zero_of_linear_head(encoded: EncodedImage, explanation: Explanation, facts: MapFacts, remarks: str) -> MapZero:
    """The zero of softmax's map behind an average pool and one linear layer, where a shift can be solved for."""
    features, weight = encoded.features[0], encoded.model.softmax_head.last_linear.weight.detach()
    row = weight[explanation.class_index]
    words = ["The zero is arbitrary: softmax does not see one vector added to the weights of every class."]
    own, rank, blanking = float(row.norm()), None, None
    is_linear = facts.method in LINEAR_METHODS
    effect = "sets this whole map to zero"
    if is_linear and not facts.is_clamped:
        shift = painted_shift(features, row, torch.zeros_like(features[0]))
        rank = shift.rank
        if shift.reason is None:
            blanking = float(shift.vector.norm()) / own if own else None
    elif is_linear or facts.method in POSITIVE_GRADIENTS:
        # With no positive weight left such a map is empty; this is the smallest shift that leaves none.
        blanking, effect = float(row.clamp(min=0).norm()) / own if own else None, "empties this map"
    if blanking:
        words.append(
            f"A shift {as_long_as(blanking)} {explanation.class_name}'s weights {effect} and leaves every softmax "
            "probability as it is."
        )
    if rank is not None:
        words.append(f"On {rank} of {features[0].numel()} cells a shift can put any value.")
    share = _shared_share(encoded, explanation.class_index)
    return MapZero(True, " ".join(words) + remarks, share, rank, blanking)


def _shared_share(encoded: EncodedImage, class_index: int) -> float | None:
    try:
        weight = encoded.model.softmax_head.last_linear.weight.detach()
        return shared_map_share(encoded.features[0], weight, class_index)
    except InputError:  # the class's map is zero
        return None


def _mends(encoded: EncodedImage, explanation: Explanation, branch: TrainedBranch, facts: MapFacts) -> tuple[Mend, ...]:
    """Every other look that exists for this model, method and treatment, the cheapest first."""
    model, method, index = encoded.model, explanation.method, explanation.class_index
    both_sides = facts.knows_class and not facts.is_one_sided
    title = "For and against" if both_sides else "Above and below zero"
    mends = [_mend("signed", title, explanation.evidence(branch).map, method, both_sides)]
    if method != "eigen-cam":
        both_sides = _shows_both_sides(method, explanation.weights, "centred")
        mends.append(_mend("centred", "Class-centred", explanation.centred.map, method, both_sides))
    if branch == "softmax" and model.is_trained and method != "eigen-cam":
        both_sides = _shows_both_sides(method, explanation.weights, "sigmoid")
        mends.append(_mend("sigmoid", "Sigmoid branch", explanation.sigmoid.map, method, both_sides))
    if model.presence is not None and not why_not_reading(model, "levelled", method, explanation.weights):
        levelled = encoded.explain(index, method, explanation.weights, reading="levelled")
        mends.append(_mend("levelled", "Levelled by presence", levelled.evidence(branch).map, method, True))
    other = _other_method(encoded, method)
    if other is not None or explanation.weights != "signed":
        key = other or method
        signed = encoded.explain(index, key, "signed").evidence(branch).map
        title = f"{CAM_METHODS[key].title}, signed weights"
        mends.append(_mend("method", title, signed, key, _shows_both_sides(key, "signed", branch)))
    return tuple(mends)


def _shows_both_sides(method: str, treatment: str, branch: Branch) -> bool:
    """Whether a map weighs what speaks for the class against what speaks against it."""
    return method != "eigen-cam" and CAM_METHODS[method].shows_negative and not clamps_weights(treatment, branch)


def _other_method(encoded: EncodedImage, method: str) -> str | None:
    """The model's own method; for that one HiResCAM where the gradient differs from cell to cell, else none."""
    head = encoded.model.softmax_head
    own = default_method(head)
    if method != own:
        return own
    return None if head.pools_first or method == "hires-cam" else "hires-cam"


def _mend(key: str, title: str, values: Float[np.ndarray, "h w"], method: str, both_sides: bool) -> Mend:
    positive, negative = part_of(float((values > 0).mean())), part_of(float((values < 0).mean()))
    words = f"{positive} for, {negative} against" if both_sides else f"{positive} above zero, {negative} below"
    return Mend(key, title, words, values, method)


def diagnosis_json(diagnosis: BlankMapDiagnosis) -> dict[str, object]:
    """A diagnosis for JSON: words and numbers, no maps."""
    facts, zero, stretch = diagnosis.facts, diagnosis.zero, diagnosis.stretching
    return {
        "checkpoint": diagnosis.explanation.checkpoint,
        "class_name": facts.class_name,
        "branch": diagnosis.branch,
        "weights": diagnosis.explanation.weights,
        "is_blank": facts.is_blank,
        "headline": diagnosis.headline,
        "causes": [vars(cause) for cause in diagnosis.causes],
        "facts": dict(vars(facts)),
        "stretching": None if stretch is None else dict(vars(stretch)),
        "stretching_sentence": diagnosis.stretching_sentence,
        "zero": dict(vars(zero)),
        "mends": [{"key": mend.key, "title": mend.title, "sentence": mend.sentence} for mend in diagnosis.mends],
    }
