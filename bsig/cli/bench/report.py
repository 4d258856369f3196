"""Results of a bench run as tables, as the performance page, and as its plots. Every number comes from the JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bsig.inputs.files import whole_file

COMMAND = "python -m bsig bench"
Rows = list[dict[str, Any]]


def summary_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, figure, aim) of the main figures; those that were not measured are left out."""
    rows: list[tuple[str, str, str]] = []
    for key, build in SUMMARIES.items():
        if key in results:
            rows += build(results[key])
    return rows


def _compare_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    bare, strict = figures["against_bare_forward"], figures["against_bare_forward_channels_last"]
    ours = {name.removeprefix("bsig "): ratio for name, ratio in bare.items() if name.startswith("bsig ")}
    single = {key: ratio for key, ratio in ours.items() if key not in ("all", "ablation-cam")}
    worst = max(single, key=lambda key: single[key])
    rows = [
        (
            "picture to signed maps of both branches and class-centred, in bare forward passes of timm's network",
            f"CAM {ours['cam']:.2f}, slowest {single[worst]:.2f} ({worst}); {strict['bsig cam']:.2f} channels last",
            "1.15",
        ),
        ("all variants together; Ablation-CAM", f"{ours['all']:.2f}; {ours['ablation-cam']:.2f}", "1.3; 1.5"),
    ]
    peers = figures["peers_against_bsig"]
    for name, title, aim in (
        ("grad-cam grad-cam", "grad-cam, two Grad-CAM maps, against bsig", "4 times as long"),
        ("grad-cam ablation-cam", "grad-cam, two Ablation-CAM maps", "300 times"),
        ("torch-cam cam", "torch-cam, two CAM maps", ""),
    ):
        if name in peers:
            rows.append((title, f"{peers[name]:,.1f} times as long", aim))
    return rows


def _change_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    times = {name: entry["median_ms"] for name, entry in figures["times"].items()}
    slowest = max(times, key=lambda name: times[name])
    ablation = times["class, ablation-cam"]
    figure = f"at most {times[slowest]:.2f} ms ({slowest}); Ablation-CAM {ablation:.2f} ms"
    return [("another class, method or treatment", figure, "5 ms; 50 ms")]


def _page_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    new, old = figures["never seen"], figures["seen before"]
    start = figures["cold_start_s"]["first /compare answered"]
    return [
        (
            "`/compare` over HTTP, new and known picture; cold start to the first answer",
            f"{new['median_ms']['total']:.0f} and {old['median_ms']['total']:.0f} ms; {start:.1f} s",
            "",
        ),
        (
            "drawing and PNG of an answer's three pictures, against the model's run in the same answer",
            f"{figures['drawing_and_png_against_encode']:.2f}",
            "1",
        ),
    ]


def _visitors_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    last = figures["rows"][-1]
    figure = (
        f"{last['answers_a_second']:.0f} answers a second, p95 {last['p95_ms'] / 1000:.2f} s, {last['errors']} errors, "
        f"{last['wrong_answers']} wrong"
    )
    return [(f"{last['visitors']} visitors at once, without a pause", figure, "p95 3 s, none wrong")]


def _finetune_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (
            "extraction against the bare encoder's best rate; 3 epochs on 2,000 pictures, cached",
            f"{figures['extraction_against_best_bare_encoder']:.2f}; "
            f"{figures['three_epochs_on_2000_cached_pictures_s']:.2f} s",
            "0.9; 5 s",
        ),
        (
            "the whole run, extraction included, against the published way",
            f"{figures['whole_run_against_published_way']:.1f} times as fast",
            "",
        ),
    ]


def _evaluate_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    figure = f"{figures['ratio']:.1f} times as fast, {figures['maps_per_second']:.0f} maps a second a core"
    return [("localization at 1,001 thresholds against the plain loop", figure, "")]


def _memory_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    resident = figures["resident_mb"]
    figure = f"{resident['default model']:.0f} MB, of which torch alone {resident['torch alone, imported'] or 0:.0f}"
    return [("resident memory of the app with the default checkpoint", figure, "")]


SUMMARIES: dict[str, Callable[[dict[str, Any]], list[tuple[str, str, str]]]] = {
    "compare": _compare_rows,
    "change": _change_rows,
    "page": _page_rows,
    "visitors": _visitors_rows,
    "finetune": _finetune_rows,
    "evaluate": _evaluate_rows,
    "memory": _memory_rows,
}


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def summary_table(results: dict[str, Any]) -> str:
    """The main figures, as Markdown."""
    return markdown_table(("what", "measured", "aim"), summary_rows(results))


def machine_words(results: dict[str, Any]) -> str:
    """One sentence on where it was measured."""
    figures = results["machine"]
    load = figures["load_before"][0] if figures.get("load_before") else "unknown"
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    return (
        f"{figures['processor']}, {figures['cores']} cores, {figures['torch_threads']} threads, load before {load}; "
        f"Python {figures['python']}, {versions}."
    )


def page(results: dict[str, Any], plots: Sequence[str]) -> str:
    """The performance page, as Markdown."""
    parts = [
        "# Performance",
        f"Made by `{COMMAND} --out assets/docs/performance.json --page assets/docs`. Within a table everything was "
        "measured in turns in one run: ratios travel to other machines, seconds do not. A bare forward pass is timm's "
        "own network as timm makes it, on a tensor that lies ready. Times are medians.",
        f"Machine: {machine_words(results)}",
        "## In short",
        summary_table(results),
    ]
    for key, title, body in SECTIONS:
        if key in results:
            parts += [f"## {title}", body(results[key])]
    parts += [f"![{_alt(name)}]({name})" for name in plots]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _compare_section(figures: dict[str, Any]) -> str:
    rows = []
    for name, times in figures["times"].items():
        rows.append((name, times["median_ms"], figures["against_bare_forward"].get(name, "")))
    words = (
        "bsig: crop, one run of the encoder, both heads, signed maps of the softmax branch, the sigmoid branch and the "
        "class-centred evidence. The others: two networks with one head each, one map each, clamped and stretched."
    )
    notes = "".join(f"\n\nNot measured: {note}." for note in figures["not_measured"])
    return words + "\n\n" + markdown_table(("what", "ms", "in bare forward passes"), rows) + notes


def _change_section(figures: dict[str, Any]) -> str:
    rows = [(name, times["median_ms"]) for name, times in figures["times"].items()]
    return markdown_table(("on a stored encoding, another", "ms"), rows)


def _page_section(figures: dict[str, Any]) -> str:
    kinds = ("never seen", "seen before")
    names = list(figures[kinds[0]]["median_ms"])
    rows = [(name, *(figures[kind]["median_ms"][name] for kind in kinds)) for name in names]
    rows.append(("95th percentile, total", *(figures[kind]["p95_ms"] for kind in kinds)))
    cold = ", ".join(f"{name} after {seconds} s" for name, seconds in figures["cold_start_s"].items())
    return (
        f"One visitor, one server process, pictures of about 0.2 megapixels, answers downloaded. Cold start: {cold}."
        "\n\n" + markdown_table(("`/compare`, ms", *(f"picture {kind}" for kind in kinds)), rows)
    )


def _flat_section(figures: dict[str, Any]) -> str:
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += [(f"{_label(name)}: {key}", one) for key, one in value.items()]
        else:
            rows.append((_label(name), value))
    return markdown_table(("what", "measured"), rows)


LABELS = {
    "whole_ms": "picture to maps, ms",
    "whole_against_encoder": "picture to maps, in runs of the encoder alone",
    "stored_ms": "maps from the stored encoding, ms",
    "side": "cells or pixels a side",
    "decode_ms": "decode and crop, ms",
    "decode_against_encoder": "decode and crop, in runs of the encoder",
    "p50_ms": "median, ms",
    "p95_ms": "95th percentile, ms",
    "peak_resident_mb": "peak resident memory, MB",
    "processor_s": "processor time, s",
    "resident_mb": "resident memory, MB",
    "pictures_per_second": "pictures a second",
    "three_epochs_on_2000_cached_pictures_s": "three epochs on 2,000 cached pictures, s",
    "whole_run_of_3_epochs_on_2000_pictures_s": "whole run of 3 epochs on 2,000 pictures, s",
    "cached_epoch_against_published_way": "cached epoch, times as fast as the published way",
    "whole_run_against_published_way": "whole run, times as fast as the published way",
    "extraction_against_best_bare_encoder": "extraction, share of the bare encoder's best rate",
    "ratio": "times as fast as the loop",
}
"""Of the keys that do not say by themselves what they count, and in which unit."""


def _label(key: str) -> str:
    return LABELS.get(key, key.replace("_", " "))


def _rows_section(figures: dict[str, Any]) -> str:
    rows: Rows = figures["rows"]
    names = list(rows[0])
    unit = f" ({figures['unit']})" if "unit" in figures else ""
    head = [f"{_label(name)}{unit if number else ''}" for number, name in enumerate(names)]
    return markdown_table(head, [[row[name] for name in names] for row in rows])


SECTIONS: tuple[tuple[str, str, Callable[[dict[str, Any]], str]], ...] = (
    ("compare", "Compare, beside the peers", _compare_section),
    ("change", "Another class, method or treatment", _change_section),
    ("page", "The page", _page_section),
    ("visitors", "Visitors at once", _rows_section),
    ("finetune", "Fine-tune", _flat_section),
    ("evaluate", "Evaluate", _flat_section),
    ("classes", "Number of classes", _rows_section),
    ("grid", "Grid", _rows_section),
    ("input", "Input size", _rows_section),
    ("picture", "Picture size", _rows_section),
    ("run", "Pictures in a run", _rows_section),
    ("memory", "Memory", _flat_section),
)

# (file, title, section, across, its label, [(key, name, marker)], label of values)
PLOTS = (
    ("classes", "Cost against number of classes", "classes", "classes", "classes",
     [("whole_ms", "picture to maps", "o"), ("stored_ms", "from the stored encoding", "s")], "ms"),
    ("grid", "Cost against the grid, from the stored encoding", "grid", "side", "cells a side",
     [(key, key, marker) for key, marker in
      zip(("cam", "grad-cam++", "hires-cam", "ablation-cam", "eigen-cam"), "osD^v", strict=True)], "ms"),
    ("input", "Cost against the input's side", "input", "side", "pixels a side",
     [("whole_ms", "picture to maps", "o")], "ms"),
    ("picture", "Opening and cropping a JPEG", "picture", "megapixels", "megapixels",
     [("decode_ms", "decode and crop", "o")], "ms"),
    ("run", "Memory of a fine-tune", "run", "pictures", "pictures", [("peak_resident_mb", "peak resident", "o")], "MB"),
    ("visitors", "Visitors at once: how long an answer takes", "visitors", "visitors", "visitors",
     [("p50_ms", "median", "o"), ("p95_ms", "95th percentile", "s")], "ms"),
)  # fmt: skip


def write_plots(results: dict[str, Any], folder: Path) -> list[str]:
    """One PNG a section that grows with something; returns the files' names."""
    from matplotlib.figure import Figure

    written = []
    for name, title, section, across, across_label, lines, unit in PLOTS:
        if section not in results:
            continue
        rows: Rows = [row for row in results[section]["rows"] if row.get(lines[0][0]) is not None]
        figure = Figure(figsize=(6.4, 3.4), dpi=110, layout="constrained")
        axes = figure.subplots()
        values = [row[across] for row in rows]
        for key, label, marker in lines:
            axes.plot(values, [row[key] for row in rows], marker=marker, label=label)
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        if name in ("classes", "grid", "picture"):
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.15 * max(row[key] for row in rows for key, _, _ in lines))
        axes.set_xlabel(across_label)
        axes.set_ylabel(unit)
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend()
        file = f"performance-{name}.png"
        with whole_file(folder / file) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
        written.append(file)
    return written


def _alt(file: str) -> str:
    return next(title for name, title, *_ in PLOTS if file == f"performance-{name}.png")
