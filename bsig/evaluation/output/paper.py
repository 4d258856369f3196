"""The page of the paper's tables as Markdown: `python -m bsig paper`, `assets/docs/paper.md`.

Its prose is `paper_page.md` with places for what is computed: the published tables, the same cells measured here,
ReCAM's claim, and a command with its time for each published row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from bsig.evaluation.frontier import Frontier, frontier_sentence, frontiers
from bsig.evaluation.metrics.catalogue import ARROWS, METRICS
from bsig.evaluation.output.frontier_svg import frontier_file
from bsig.evaluation.output.words import counts_text
from bsig.evaluation.published.beside import (
    SHOWN_TREATMENTS,
    MeasuredCell,
    RowBeside,
    equal_rows,
    rows_beside,
    summary,
)
from bsig.evaluation.published.costs import MapCounts, PublishedRow, Rates, published_rows
from bsig.evaluation.published.recam import ClaimRow, claim_rows, verdicts
from bsig.evaluation.published.tables import (
    DATASETS,
    FAITHFULNESS_COLUMNS,
    LOCALIZATION_COLUMNS,
    NETWORKS,
    SOURCE,
    PublishedCell,
    faithfulness_cells,
    fallen,
    localization_cells,
)
from bsig.explain.methods import CAM_METHODS
from bsig.explain.wording import duration, signed

PAGE = Path(__file__).with_name("paper_page.md")
RED = " 🔴"
VERDICT_WORDS = {
    "for": "is worse, as ReCAM claims",
    "against": "is better, against ReCAM's claim",
    "unclear": "does not differ clearly",
}


def paper_page(runs: Sequence[Mapping[str, Any]], rates: Rates, maps: Mapping[str, MapCounts], decode_ms: float) -> str:
    """The whole page.

    Args:
        runs: results of evaluations, of which each gets a section.
        rates: what the times are worked out from.
        maps: method -> the maps of a picture that its rows need.
        decode_ms: milliseconds to decode a picture of 0.2 megapixels.
    """
    localization, faithfulness = localization_cells(), faithfulness_cells()
    rows = published_rows()
    page = Template(PAGE.read_text(encoding="utf-8"))
    return page.substitute(
        source=f"`{SOURCE}`",
        localization=_published_table(localization, [key for key, _ in LOCALIZATION_COLUMNS]),
        localization_sentence=fallen_sentence(localization, "localization"),
        faithfulness=_published_table(faithfulness, FAITHFULNESS_COLUMNS),
        faithfulness_sentence=fallen_sentence(faithfulness, "faithfulness"),
        beside="\n\n".join(filter(None, map(beside_section, runs))),
        overall=overall_sentence(runs),
        frontier="\n\n".join(frontier_section(run, frontier) for run, frontier in frontiers(runs)),
        recam="\n\n".join(filter(None, map(recam_section, runs))),
        maps_rate=f"{rates.maps_a_second:g}",
        device=rates.device,
        cores=str(rates.cores),
        pictures_rate=f"{rates.pictures_a_second:,.0f}",
        passes=", ".join(f"{name} {rates.passes_a_second[key]:,.0f}" for name, key in NETWORKS.items()),
        masking=str(maps["cam"].masking),
        decode=f"{decode_ms:.1f}",
        arithmetic=_arithmetic(rows[0], rates, maps[rows[0].method]),
        commands=_commands(rows, rates, maps),
    )


def beside_section(results: Mapping[str, Any]) -> str:
    """The published cells beside the results' own, with a sentence; nothing where they share no cell."""
    rows = rows_beside(results)
    if not rows:
        return ""
    treatments = [
        key for key in SHOWN_TREATMENTS if any(cell.treatment == key for row in rows for cell in row.measured)
    ]
    lines = [
        _line(["method, metric", *(f"{network}, published" for network in NETWORKS),
               *(f"here, `{treatment}`" for treatment in treatments)]),
        _rule(1 + len(NETWORKS) + len(treatments)),
    ]  # fmt: skip
    for alike in equal_rows(rows):
        published = [
            " / ".join(filter(None, (_published_changes(row, network) for row in alike))) for network in NETWORKS
        ]
        measured = {cell.treatment: measured_text(cell) for cell in alike[0].measured}
        title = row_title(alike, results["counts"])
        lines.append(_line([title, *published, *(measured.get(key, "") for key in treatments)]))
    return "\n\n".join([_run_title(results), "\n".join(lines), summary_sentence(rows)])


def frontier_section(run: Mapping[str, Any], frontier: Frontier) -> str:
    """The picture of a run's frontier and what the sigmoid branch gains over the untrained line."""
    sentence = frontier_sentence(frontier)
    title = f"{run['checkpoint']} on {run['data']} ({run['split']})"
    return f"![The frontier of {title}]({frontier_file(run)})\n\n{title}. {sentence}"


def recam_section(results: Mapping[str, Any]) -> str:
    """One object and several, each branch and treatment; nothing without mosaics."""
    rows = claim_rows(results)
    if not rows:
        return ""
    treatments = [cell.treatment for cell in rows[0].measured]
    lines = [_line(["CAM", *(f"`{treatment}`" for treatment in treatments)]), _rule(1 + len(treatments))]
    lines += [_line([_claim_title(row), *map(measured_text, row.measured)]) for row in rows]
    return "\n\n".join([_run_title(results), "\n".join(lines), recam_sentence(rows)])


def recam_sentence(rows: Sequence[ClaimRow]) -> str:
    """What the score at equal area says of ReCAM's claim, for each treatment that is alike for both branches."""
    parts = [
        f"with `{cell.treatment}` the sigmoid branch {VERDICT_WORDS[word]} ({signed(cell.change, 1)} points)"
        for cell, word in verdicts(rows)
    ]
    return f"At equal area: {'; '.join(parts)}."


def fallen_sentence(cells: Sequence[PublishedCell], table: str) -> str:
    """How many published cells fall, and which."""
    groups = fallen(cells)
    count = sum(map(len, groups.values()))
    if not count:
        return f"No published cell of {table} falls."
    parts = [
        f"{CAM_METHODS[method].title} on {network} ({', '.join(_metric_and_data(cell) for cell in group)})"
        for (method, network), group in groups.items()
    ]
    verb = "falls" if count == 1 else "fall"
    return f"{count} of {len(cells)} published cells of {table} {verb}: {' and '.join(parts)}."


def overall_sentence(runs: Sequence[Mapping[str, Any]]) -> str:
    """The same over all runs, and whether every clear gain needs one branch clamped and the other not."""
    totals: dict[str, list[int]] = {}
    for run in runs:
        for treatment, counts in summary(rows_beside(run)).items():
            totals[treatment] = [
                before + count for before, count in zip(totals.get(treatment, [0] * 3), counts, strict=True)
            ]
    parts = [f"`{key}` {better} of {sum((better, *rest))}" for key, (better, *rest) in totals.items()]
    sentence = f"Cells where the sigmoid branch is clearly better, over all data here: {', '.join(parts)}."
    gains = {key: counts[0] for key, counts in totals.items()}
    if gains.pop("paper", 0) and not any(gains.values()):
        sentence += " Every clear gain needs one branch clamped and the other not."
    return sentence


def summary_sentence(rows: Sequence[RowBeside]) -> str:
    """How many measured cells get clearly better and worse in each treatment."""
    parts = [
        f"`{treatment}`: {better} clearly better, {worse} clearly worse, {unclear} without a clear difference"
        for treatment, (better, worse, unclear) in summary(rows).items()
    ]
    return f"Distinct cells measured here, {'; '.join(parts)}."


def measured_text(cell: MeasuredCell) -> str:
    """Both branches, the change with its interval, the marks: '67.8 → 68.2, +0.4 [−1.2, +2.2]'."""
    return f"{cell.softmax:.1f} → {cell.sigmoid:.1f}, {changed_text(cell)}" + (RED if cell.falls else "")


def changed_text(cell: MeasuredCell) -> str:
    """The change with its interval, an asterisk where that excludes zero: '+0.4 [−1.2, +2.2]'."""
    text = signed(cell.change, 1)
    if cell.low is not None and cell.high is not None:
        text += f" [{signed(cell.low, 1)}, {signed(cell.high, 1)}]"
    return text + ("*" if cell.is_clear else "")


def metric_title(key: str) -> str:
    """The metric with the arrow of its better direction."""
    return f"{METRICS[key].title} {ARROWS[METRICS[key].better]}".rstrip()


def row_title(alike: Sequence[RowBeside], counts: Mapping[str, Any]) -> str:
    """Methods and metric of rows that measured the same, and how many were scored where not all were."""
    methods = " / ".join(CAM_METHODS[row.method].title for row in alike)
    count = alike[0].measured[0].count
    every, noun = counts["used"], "pictures"
    if "present_classes" in counts:
        every, noun = counts["present_classes"], "present classes"
    return f"{methods}, {metric_title(alike[0].metric)}" + (f" ({count} {noun})" if count != every else "")


def _published_table(cells: Sequence[PublishedCell], metrics: Sequence[str]) -> str:
    lines = [
        _line(["published", *(f"{_published_title(key)} {ARROWS[METRICS[key].better]}" for key in metrics)]),
        _rule(1 + len(metrics)),
    ]
    rows: dict[str, list[str]] = {}
    for cell in cells:
        data = f", {DATASETS[cell.data]}" if cell.metric in FAITHFULNESS_COLUMNS else ""
        title = f"{cell.network}, {CAM_METHODS[cell.method].title}{data}"
        mark = RED if cell.falls else ""
        rows.setdefault(title, []).append(f"{cell.softmax:.2f} → {cell.sigmoid:.2f} ({signed(cell.change, 2)}){mark}")
    return "\n".join([*lines, *(_line([title, *texts]) for title, texts in rows.items())])


def _published_changes(row: RowBeside, network: str) -> str:
    cells = [cell for cell in row.published if cell.network == network]
    several = len(cells) > 1
    return "; ".join(
        (f"{DATASETS[cell.data]} " if several else "") + signed(cell.change, 2) + (RED if cell.falls else "")
        for cell in cells
    )


def _metric_and_data(cell: PublishedCell) -> str:
    title = _published_title(cell.metric)
    return f"{title}, {DATASETS[cell.data]}" if cell.metric in FAITHFULNESS_COLUMNS else title


def _published_title(metric: str) -> str:
    """The metric's title without a threshold: the published tables name none."""
    return {"top1_loc": "Top-1 Loc", "gt_known": "GT-known"}.get(metric, METRICS[metric].title)


def _claim_title(row: ClaimRow) -> str:
    return f"{'several objects' if row.has_several else 'one object'}: {metric_title(row.metric)}"


def _run_title(results: Mapping[str, Any]) -> str:
    counts = results["counts"]
    return f"### {results['checkpoint']} on {results['data']} ({results['split']}), {counts_text(counts)}"


def _arithmetic(row: PublishedRow, rates: Rates, maps: MapCounts) -> str:
    boxes, encoder = duration(row.box_seconds(rates, maps)), duration(row.encoder_seconds(rates))
    return (
        f"First row: {row.pictures:,} pictures x {maps.boxed} maps / {rates.maps_a_second:g} = {boxes} of one core, "
        f"and {row.pictures:,} / {rates.pictures_a_second:,.0f} = {encoder} of the GPU and its {rates.cores} cores."
    )


def _commands(rows: Sequence[PublishedRow], rates: Rates, maps: Mapping[str, MapCounts]) -> str:
    lines = [
        _line(["row (NAME)", "OPTIONS of the published code's file", "command", "pictures", "boxes, one core",
               "decoding and encoder, GPU", "average drop, GPU", "together"]),
        _rule(8),
    ]  # fmt: skip
    for row in rows:
        counts = maps[row.method]
        seconds = (row.box_seconds(rates, counts), row.encoder_seconds(rates), row.drop_seconds(rates, counts))
        title = f"{row.network}, {CAM_METHODS[row.method].title}, {DATASETS[row.data]} (`{row.name}`)"
        times = [duration(part) if part else "" for part in (*seconds, sum(seconds))]
        lines.append(
            _line([title, f"`{row.import_options()}`", f"`{row.command()}`", f"{row.pictures:,}", *times])
        )  # fmt: skip
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return _line(["---"] * columns)
