"""What `results.json` of a checkpoint must hold, checked by pydantic before anything is shown.

The types are dictionaries, as results are everywhere: what passes is used as it is, unknown entries are kept.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AllowInfNan, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import NotRequired, TypedDict

from bsig.inputs.errors import InputError

FORMAT_VERSION = 1
Number = int | Annotated[float, AllowInfNan(False)] | None


def _estimate_of_known_length(numbers: list[Number]) -> list[Number]:
    if len(numbers) not in (4, 8) or not all(isinstance(count, int) for count in numbers[3::4]):
        raise ValueError
    return numbers


EstimateNumbers = Annotated[list[Number], AfterValidator(_estimate_of_known_length)]
"""`[value, low, high, n]`, and the same four of the difference to softmax behind them where there is one."""


class Column(TypedDict):
    """One column of a table."""

    title: str
    metrics: dict[str, EstimateNumbers]


class Twin(TypedDict):
    """The table that a table equals, but for evidence in the maps' unit, which is `mass_factor` times the twin's."""

    method: str
    weights: str
    mass_factor: float


ClassRow = TypedDict(
    "ClassRow",
    {"class": str, "class_index": int, "n": int, "softmax": dict[str, Number], "sigmoid": dict[str, Number]},
)
PictureRow = TypedDict("PictureRow", {"key": str, "class": str, "class_index": int, "softmax": float, "sigmoid": float})


class DifferMost(TypedDict):
    """The pictures where the branches differ most."""

    by: str
    sigmoid_better: list[PictureRow]
    softmax_better: list[PictureRow]


class Beyond(TypedDict):
    """The best column with the trained branch against the best without it, by one metric."""

    trained: str
    untrained: str
    difference: dict[str, Number]


class Table(TypedDict):
    """One method and treatment; with `like` alone where it equals another table, else with all the rest."""

    method: str
    weights: str
    treatment: str
    unit: str
    like: NotRequired[Twin]
    columns: NotRequired[dict[str, Column]]
    localization_curves: NotRequired[dict[str, list[dict[str, Number]]]]
    delta_curve: NotRequired[list[dict[str, Number]]]
    by_class: NotRequired[list[ClassRow]]
    differ_most: NotRequired[DifferMost]
    beyond_untrained: NotRequired[dict[str, Beyond]]


class Counts(TypedDict):
    """How many pictures were used and why others were not; boxes and masks are counted by present class."""

    listed: int
    used: int
    present_classes: NotRequired[int]
    unreadable: int
    of_unmatched_classes: int
    without_boxes_or_mask: NotRequired[int]
    with_boxes: int
    with_mask: int
    boxes_or_masks_cut_or_left_out: int
    mosaics: int
    unmatched_classes: list[str]
    sentences: list[str]


class Run(TypedDict):
    """One evaluation: a checkpoint on a split of a data set."""

    checkpoint: str
    checkpoint_sha256: str | None
    backbone: str
    branch: str
    data: str
    split: str
    settings: dict[str, Any]
    counts: Counts
    accuracy: dict[str, EstimateNumbers]
    versions: dict[str, str]
    tables: list[Table]


class ResultsFile(TypedDict):
    """The whole file."""

    # Holds for all types inside too.
    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]
    format_version: int
    metrics: dict[str, dict[str, Any]]
    runs: list[Run]


RESULTS_FILE = TypeAdapter(ResultsFile)


def parsed_results(content: bytes, name: str) -> ResultsFile:
    """The content of a `results.json`, called `name` in a refusal.

    Raises:
        InputError: the content is no JSON, of a newer version, or not what `results_text` writes.
    """
    remedy = "copy it again or make it again with evaluate-shipped."
    try:
        entries = from_json(content)
    except ValueError as error:
        raise InputError(f"{name} cannot be read (no JSON); {remedy}") from error
    version = entries.get("format_version") if isinstance(entries, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"{name} has `format_version` (={version}), newer than {FORMAT_VERSION}; update bsig to read it."
        )
    try:
        return RESULTS_FILE.validate_python(entries)
    except ValidationError as error:
        place = ".".join(str(step) for step in error.errors()[0]["loc"])
        raise InputError(f"{name} cannot be read (at `{place or 'its top'}`); {remedy}") from error
