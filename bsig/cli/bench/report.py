"""Results of a bench run as tables, as the performance page, and as its plots. Every number comes from the JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bsig.cli.bench.batches import FOLDER
from bsig.cli.bench.imagenet import NETWORK, TRAINING_PICTURES, imagenet_rows, waiting_for
from bsig.cli.bench.start import HELP, MISSING
from bsig.cli.bench.visits import HOURS, AnswerTimes, Visit, simulated_hours
from bsig.inputs.files import whole_file

COMMAND = "python -m bsig bench"
Results = dict[str, Any]
SummaryRow = tuple[str, str, str]  # what, figure, aim


def summary_rows(results: Results) -> list[SummaryRow]:
    """(what, figure, aim) of the main figures; those that were not measured are left out."""
    return [row for key, (_, _, rows) in SECTIONS.items() if rows and key in results for row in rows(results[key])]


def _compare_rows(figures: Results) -> list[SummaryRow]:
    bare, strict = figures["against_bare_forward"], figures["against_bare_forward_channels_last"]
    own = {name.removeprefix("bsig "): ratio for name, ratio in bare.items() if name.startswith("bsig ")}
    single = {key: ratio for key, ratio in own.items() if key not in ("all", "ablation-cam", "cam, onnxruntime")}
    slowest = max(single, key=single.__getitem__)
    rows = [
        (
            "picture to signed maps of both branches and class-centred, in bare forward passes of timm's network",
            f"CAM {own['cam']:.2f}, slowest {single[slowest]:.2f} ({slowest}); {strict['bsig cam']:.2f} channels last",
            "1.15",
        ),
        ("all variants together; Ablation-CAM", f"{own['all']:.2f}; {own['ablation-cam']:.2f}", "1.3; 1.5"),
    ]
    peers = {
        "grad-cam grad-cam": ("grad-cam, two Grad-CAM maps, against bsig", "4 times as long"),
        "grad-cam ablation-cam": ("grad-cam, two Ablation-CAM maps", "300 times"),
        "torch-cam cam": ("torch-cam, two CAM maps", ""),
    }
    if "against_bare_forward_folded" in figures:
        rows.append(_limits_row(figures))
    ratios = figures["peers_against_bsig"]
    rows += [(title, f"{ratios[key]:,.1f} times as long", aim) for key, (title, aim) in peers.items() if key in ratios]
    return rows


def _limits_row(figures: Results) -> SummaryRow:
    """CAM against the fastest passes that the same network has here: what no explanation can go below."""
    strict = figures["against_bare_forward_channels_last"]["bsig cam"]
    title = "the same CAM, against that network channels last, and with its BatchNorm folded as well"
    text = f"{strict:.2f}; {figures['against_bare_forward_folded']['bsig cam']:.2f}"
    onnx = figures["against_bare_forward"].get("bsig cam, onnxruntime")
    if onnx:
        title, text = f"{title}; by ONNX Runtime, against timm's own", f"{text}; {onnx:.2f}"
    return title, judged(text, strict <= 1.10), "1.10; none"


def judged(figure: str, *met: bool) -> str:
    """The figure, with a word where it is not within its aim."""
    return figure if all(met) else f"{figure} (misses its aim)"


def _start_rows(figures: Results) -> list[SummaryRow]:
    seconds, ratio = figures["seconds"], figures["explain_against_baseline"]
    help_s, refusal_s = seconds[HELP], seconds[MISSING]
    return [
        (
            "command line: `--help`; a missing picture refused; `explain` of an example, in runs of a program that "
            "imports torch and timm and runs the network once",
            judged(f"{help_s:.2f} s; {refusal_s:.2f} s; {ratio:.2f}", help_s <= 0.3, refusal_s <= 0.7, ratio <= 1.6),
            "0.3 s; 0.7 s; 1.6",
        )
    ]


def _start_section(figures: Results) -> str:
    seconds = markdown_table(("a fresh interpreter", "s"), list(figures["seconds"].items()))
    rows = [list(row.values()) for row in figures["imports"]]
    imports = markdown_table(("package", "its own import, ms", "modules"), rows)
    return (
        f"{seconds}\n`explain` takes {figures['explain_against_baseline']} times the program that imports torch and "
        "timm and runs the network once.\n\nImports of `explain`, before a picture is opened. `torch._dynamo` and "
        f"sympy come with torchvision (its `ops/roi_align.py`), which timm imports.\n\n{imports}"
    )


def _batches_rows(figures: Results) -> list[SummaryRow]:
    share, rates = figures["encode_many_against_bare_encoder"], figures["pictures_per_second"]
    figure = f"{share:.2f}; {rates[FOLDER]:.3g} pictures a second"
    return [
        (
            "`encode_many`, decoding included, against the bare encoder's best rate; `explain FOLDER`, files written",
            judged(figure, share >= 0.9),
            "0.9; none",
        )
    ]


def _change_rows(figures: Results) -> list[SummaryRow]:
    times = {name: entry["median_ms"] for name, entry in figures["times"].items()}
    slowest = max(times, key=times.__getitem__)
    figure = f"at most {times[slowest]:.2f} ms ({slowest}); Ablation-CAM {times['class, ablation-cam']:.2f} ms"
    return [("another class, method or treatment", figure, "5 ms; 50 ms")]


def _page_rows(figures: Results) -> list[SummaryRow]:
    new_ms, known_ms = (figures[kind]["median_ms"]["total"] for kind in ("never seen", "seen before"))
    cold_start = figures["cold_start_s"]["first /compare answered"]
    answers = (
        "`/compare` over HTTP, new and known picture; cold start to the first answer",
        f"{new_ms:.0f} and {known_ms:.0f} ms; {cold_start:.1f} s",
        "",
    )
    if ratios := figures.get("against_bare_forward_on_one_core"):  # not in results of before
        answers = (
            "`/compare` over HTTP, new picture, in bare forward passes on one core; known picture",
            judged(
                f"{ratios['never seen']:.2f} ({new_ms:.0f} ms); {known_ms:.0f} ms",
                ratios["never seen"] <= 1.6,
                known_ms <= 15,
            ),
            "1.6; 15 ms",
        )
    return [
        answers,
        (
            "drawing and PNG of an answer's three pictures, against the model's run in the same answer",
            f"{figures['drawing_and_png_against_encode']:.2f}",
            "1",
        ),
    ]


def _browser_rows(figures: Results) -> list[SummaryRow]:
    seconds, opening = figures["seconds"], figures["rows"][0]
    live = seconds["first comparison"]
    what = "from `python app.py` to the first comparison in the browser; to words on the page"
    start = (what, f"{live:.1f} s; {seconds['words on the page']:.1f} s", "4 s")
    if (prepared := seconds.get("a prepared comparison on the page")) is not None:  # not in results of before
        what = "from `python app.py` to a comparison in the browser: to one drawn beforehand; to the live page's own"
        start = (what, judged(f"{prepared:.1f} s; {live:.1f} s", prepared <= 1, live <= 4), "1 s; 4 s")
    return [
        start,
        (
            "what the browser loads until then",
            f"{opening['requests']} requests, {opening['kilobytes'] / 1000:.1f} MB",
            "",
        ),
    ]


def _visitors_rows(figures: Results) -> list[SummaryRow]:
    last = figures["rows"][-1]
    figure = (
        f"{last['answers_a_second']:.0f} answers a second, p95 {last['p95_ms'] / 1000:.2f} s, {last['errors']} errors, "
        f"{last['wrong_answers']} wrong"
    )
    return [(f"{last['visitors']} visitors at once, without a pause", figure, "p95 3 s, none wrong")]


def _finetune_rows(figures: Results) -> list[SummaryRow]:
    extraction = figures["extraction_against_best_bare_encoder"]
    three_epochs = figures["three_epochs_on_2000_cached_pictures_s"]
    return [
        (
            "extraction against the bare encoder's best rate; 3 epochs on 2,000 pictures, cached",
            judged(f"{extraction:.2f}; {three_epochs:.2f} s", extraction >= 0.9, three_epochs <= 5),
            "0.9; 5 s",
        ),
        (
            "the whole run, extraction included, against the published way",
            f"{figures['whole_run_against_published_way']:.1f} times as fast",
            "",
        ),
    ]


def _evaluate_rows(figures: Results) -> list[SummaryRow]:
    figure = f"{figures['ratio']:.1f} times as fast, {figures['maps_per_second']:.0f} maps a second a core"
    return [("localization at 1,001 thresholds against the plain loop", figure, "")]


def _memory_rows(figures: Results) -> list[SummaryRow]:
    app, torch_alone = (figures["resident_mb"][key] or 0 for key in ("default model", "torch alone, imported"))
    figure = f"{app:.0f} MB, of which torch alone {torch_alone:.0f}"
    return [("resident memory of the app with the default checkpoint", figure, "")]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def summary_table(results: Results) -> str:
    """The main figures, as Markdown."""
    return markdown_table(("what", "measured", "aim"), summary_rows(results))


def machine_words(results: Results) -> str:
    """One sentence on where it was measured."""
    figures = results["machine"]
    load = figures["load_before"][0] if figures.get("load_before") else "unknown"
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    return (
        f"{figures['processor']}, {figures['cores']} cores, {figures['torch_threads']} threads, load before {load}; "
        f"Python {figures['python']}, {versions}."
    )


def page(results: Results) -> str:
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
    for key, (title, section, _) in SECTIONS.items():
        if key in results:
            parts += [f"## {title}", section(results[key])]
    if "page" in results:
        parts += ["## An hour of visitors, simulated", _visits_section(results["page"])]
    if "rates" in results:
        parts += ["## ImageNet-1k, worked out", _imagenet_section(results["rates"])]
    parts += [f"![{title}]({plot_name(key)})" for key, (title, *_) in PLOTS.items() if key in results]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _compare_section(figures: Results) -> str:
    ratios = figures["against_bare_forward"]
    rows = [(name, times["median_ms"], ratios.get(name, "")) for name, times in figures["times"].items()]
    words = (
        "bsig: crop, one run of the encoder, both heads, signed maps of the softmax branch, the sigmoid branch and the "
        "class-centred evidence. The others: two networks with one head each, one map each, clamped and stretched."
    )
    notes = "".join(f"\n\nNot measured: {note}." for note in figures["not_measured"])
    if "folding_moves_features_by" in figures:
        change = figures["folding_moves_features_by"]
        words += f" Folding BatchNorm moves no feature by more than {change:.1e} of the largest."
    return words + "\n\n" + markdown_table(("what", "ms", "in bare forward passes"), rows) + notes


def _change_section(figures: Results) -> str:
    rows = [(name, times["median_ms"]) for name, times in figures["times"].items()]
    return markdown_table(("on a stored encoding, another", "ms"), rows)


def _page_section(figures: Results) -> str:
    new_times, known_times = figures["never seen"], figures["seen before"]
    rows = [(name, value, known_times["median_ms"][name]) for name, value in new_times["median_ms"].items()]
    rows.append(("95th percentile, total", new_times["p95_ms"], known_times["p95_ms"]))
    cold = ", ".join(f"{name} after {seconds} s" for name, seconds in figures["cold_start_s"].items())
    return (
        f"One visitor, one server process, pictures of about 0.2 megapixels, answers downloaded. Cold start: {cold}."
        "\n\n" + markdown_table(("`/compare`, ms", "picture never seen", "picture seen before"), rows)
    )


def _browser_section(figures: Results) -> str:
    seconds = ", ".join(f"{name} after {value} s" for name, value in figures["seconds"].items())
    return f"From the start of the app, with nothing cached: {seconds}.\n\n" + _rows_section(figures)


def _visits_section(figures: Results) -> str:
    new_s, known_s = (figures[kind]["median_ms"]["total"] / 1000 for kind in ("never seen", "seen before"))
    visit = Visit()
    rows = simulated_hours(AnswerTimes(new_s, known_s), visit)
    return (
        f"Simulated from the answer times above: {HOURS} hours of visitors who come at random. Assumed, not measured: "
        f"{visit.questions} questions about each of {1 + visit.own_pictures} pictures, an example and the visitor's "
        f"own, {visit.pause_s:.0f} s apart; {visit.finetune_share:.0%} fine-tune at the end, "
        f"{visit.finetune_s:.0f} s each. "
        "A proxy in between adds its own delay to each answer and no waiting.\n\n"
        + markdown_table(list(rows[0]), [list(row.values()) for row in rows])
    )


def _imagenet_section(rates: Results) -> str:
    rows = imagenet_rows(rates)
    table = markdown_table(list(rows[0]), [list(row.values()) for row in rows])
    return (
        f"Worked out from rates that were measured on one {rates['device']}, not run: {TRAINING_PICTURES:,} pictures "
        f"to train on, one view each, {NETWORK}. Eight GPUs are taken to be eight times as fast, each with cores of "
        f"its own. {waiting_for(rates)}\n\n{table}"
    )


# The keys that do not say by themselves what they count, and in which unit.
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
    "encode_many_against_bare_encoder": "encode_many, share of the bare encoder's rate",
}


def _label(key: str) -> str:
    return LABELS.get(key, key.replace("_", " "))


def _flat_section(figures: Results) -> str:
    rows: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += [(f"{_label(name)}: {key}", part) for key, part in value.items()]
        else:
            rows.append((_label(name), value))
    return markdown_table(("what", "measured"), rows)


def _rows_section(figures: Results) -> str:
    rows = figures["rows"]
    unit = f" ({figures['unit']})" if "unit" in figures else ""
    first, *others = map(_label, rows[0])
    return markdown_table([first, *(f"{label}{unit}" for label in others)], [list(row.values()) for row in rows])


# Section -> title, its text, its rows of the summary.
SECTIONS: dict[str, tuple[str, Callable[[Results], str], Callable[[Results], list[SummaryRow]] | None]] = {
    "compare": ("Compare, beside the peers", _compare_section, _compare_rows),
    "change": ("Another class, method or treatment", _change_section, _change_rows),
    "start": ("The command line", _start_section, _start_rows),
    "batches": ("Many pictures", _flat_section, _batches_rows),
    "page": ("The page", _page_section, _page_rows),
    "browser": ("The page in a browser", _browser_section, _browser_rows),
    "visitors": ("Visitors at once", _rows_section, _visitors_rows),
    "finetune": ("Fine-tune", _flat_section, _finetune_rows),
    "evaluate": ("Evaluate", _flat_section, _evaluate_rows),
    "classes": ("Number of classes", _rows_section, None),
    "grid": ("Grid", _rows_section, None),
    "input": ("Input size", _rows_section, None),
    "picture": ("Picture size", _rows_section, None),
    "run": ("Pictures in a run", _rows_section, None),
    "memory": ("Memory", _flat_section, _memory_rows),
}

# Section -> title, key across, its label, {key: name of the curve}, unit, scale of the values.
PLOTS: dict[str, tuple[str, str, str, dict[str, str], str, str]] = {
    "classes": ("Cost against number of classes", "classes", "classes",
                {"whole_ms": "picture to maps", "stored_ms": "from the stored encoding"}, "ms", "log"),
    "grid": ("Cost against the grid, from the stored encoding", "side", "cells a side",
             {key: key for key in ("cam", "grad-cam++", "hires-cam", "ablation-cam", "eigen-cam")}, "ms", "log"),
    "input": ("Cost against the input's side", "side", "pixels a side", {"whole_ms": "picture to maps"}, "ms",
              "linear"),
    "picture": ("Opening and cropping a JPEG", "megapixels", "megapixels", {"decode_ms": "decode and crop"}, "ms",
                "log"),
    "run": ("Memory of a fine-tune", "pictures", "pictures", {"peak_resident_mb": "peak resident"}, "MB", "linear"),
    "visitors": ("Visitors at once: how long an answer takes", "visitors", "visitors",
                 {"p50_ms": "median", "p95_ms": "95th percentile"}, "ms", "linear"),
}  # fmt: skip


def plot_name(section: str) -> str:
    """The name of the file with a section's plot."""
    return f"performance-{section}.png"


def write_plots(results: Results, folder: Path) -> None:
    """Writes a PNG for each section that grows with something."""
    from matplotlib.figure import Figure

    for section, (title, across, across_label, curves, unit, scale) in PLOTS.items():
        if section not in results:
            continue
        rows = [row for row in results[section]["rows"] if all(row[key] is not None for key in curves)]
        figure = Figure(figsize=(6.4, 3.4), dpi=110, layout="constrained")
        axes = figure.subplots()
        values = [row[across] for row in rows]
        for (key, label), marker in zip(curves.items(), "osD^v", strict=False):
            axes.plot(values, [row[key] for row in rows], marker=marker, label=label)
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        if scale == "log":
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.15 * max((row[key] for row in rows for key in curves), default=1))
        axes.set(xlabel=across_label, ylabel=unit, title=title)
        axes.grid(alpha=0.3)
        axes.legend()
        with whole_file(folder / plot_name(section)) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
