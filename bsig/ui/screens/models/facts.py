"""What the Models screen tells of a model and of all checkpoints."""

from __future__ import annotations

from typing import Any

from bsig.explain.methods import CAM_METHODS, default_method, methods_of, why_not_cam
from bsig.explain.wording import percent
from bsig.inputs.errors import InputError
from bsig.inputs.paths import EXAMPLES
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import head_in_words
from bsig.model.model_settings import in_words
from bsig.model.new_model import not_trained, same_padded
from bsig.model.preview import PREVIEWED, alternatives, labelled_pictures, top_classes
from bsig.ui.components import html
from bsig.ui.screens.models.request import LAST, ModelRequest, in_labels, settings_in_labels
from bsig.ui.workbench import Workbench


def facts_html(model: DualBranch) -> html.Html:
    """What the head is, where the features are taken, and which methods are exact, as a table."""
    head = model.softmax_head
    height, width = model.grid_hw or (0, 0)
    place = "the last feature map" if model.features_at == LAST else f"layer '{model.features_at}'"
    facts = {
        "Model": model.name,
        "Classes": f"{model.num_classes:,}",
        "Features": f"{place}, {height} x {width} cells",
        "Head": head_in_words(head),
        "Exact": "CAM: the map's mean plus the bias is the logit" if head.cam_is_exact else "no method",
        "Shown first": CAM_METHODS[default_method(head)].title,
        "Methods": ", ".join(CAM_METHODS[key].title for key in methods_of(head)),
        "Preprocessing": ", ".join(in_words(model.preprocessing).values()),
        **{f"Top classes of {name}, by softmax probability": _top(model, name) for name in PREVIEWED},
        **_zero_shot_facts(model),
        "Sigmoid branch": model.training_state if model.is_trained else "still the clone: not fine-tuned yet",
    }
    rows: list[list[str | html.Cell]] = [[html.row_title(name), value] for name, value in facts.items()]
    words = " ".join(
        text
        for text in ("Compare shows it now.", *map(in_labels, model.notes), why_not_cam(head), not_trained(model))
        if text
    )
    return html.joined(html.table([], rows, scrolls=True, id="model-table"), html.note(words, role="status"))


def trials_html(bench: Workbench, request: ModelRequest, model: DualBranch) -> html.Html:
    """Top-1 on the labelled pictures that the request names, as the model is and otherwise; nothing without any.

    What cannot be read is said in its place: the model is loaded all the same.
    """
    address = request.labelled(bench)
    if not address:
        return html.Html()
    backbone, weights, options = request.checked(bench)
    try:
        pictures, note = labelled_pictures(model, address)
        padded = same_padded(model, backbone, weights, options, request.settings(bench), request.embeddings(bench))
        own, *others = alternatives(model, pictures, padded)
    except InputError as error:
        return html.problem(in_labels(str(error)))
    rows: list[list[str | html.Cell]] = [
        [html.row_title(settings_in_labels(trial.arguments) or "as it is"), html.number(str(trial.right))]
        for trial in (own, *others)
    ]
    best = "Nothing that was tried is right more often."
    if others and others[0].right > own.right:
        best = (
            f"More are right with {settings_in_labels(others[0].arguments)}: choose that if the network was trained so."
        )
    return html.joined(
        html.section(f"How many of {own.pictures} labelled pictures are right", f"{best} {note}".strip()),
        html.table(["Prepared with", html.number("Right")], rows, scrolls=True, id="model-trials"),
    )


def _zero_shot_facts(model: DualBranch) -> dict[str, str]:
    """Scale and bias of a zero-shot model; nothing for others."""
    entry = model.metadata.get("zero_shot")
    if not entry:
        return {}
    bias = entry["logit_bias"]
    sigmoid = "no bias" if bias is None else f"{bias:+.4g} in the sigmoid branch"
    return {"Zero-shot logit": f"{entry['logit_scale']:.4g} x cosine of picture and class, {sigmoid}"}


def _top(model: DualBranch, picture: str) -> str:
    """The most probable classes of an example, by which a wrong mean or order of classes is seen."""
    return ", ".join(f"{name} {percent(probability)}" for name, probability in top_classes(model, EXAMPLES / picture))


def models_html(bench: Workbench) -> html.Html:
    """All checkpoints with backbone, grid and whether their sigmoid branch has been fine-tuned."""
    checkpoints = bench.checkpoint_rows()
    names = {row["name"] for row in checkpoints}
    lines = [
        *(_checkpoint_row(row) for row in checkpoints),
        *(
            [name, "loaded here, not saved", "", "still the clone"]
            for name in bench.checkpoint_names()
            if name not in names
        ),
    ]
    titles = ("Backbone", "Features", "Sigmoid branch")
    rows = [
        [html.cell(name, class_="main"), *(html.cell(text, data_name=title if text else None)
                                           for title, text in zip(titles, texts, strict=True))]
        for name, *texts in lines
    ]  # fmt: skip
    return html.table(["Checkpoint", *titles], rows, kind="bsig-measured", scrolls=True)


def _checkpoint_row(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [row["name"], row["error"], "", ""]
    if "needs" in row:
        return [row["name"], f"{row['backbone']}, not installed: {row['needs']}", "", ""]
    grid, stage = row.get("grid_hw"), row.get("feature_stage", LAST)
    features = f"{stage}, {grid[0]} x {grid[1]}" if grid else str(stage)
    state = "zero-shot" if row.get("zero_shot") else "fine-tuned"
    branch = f"{row['branch']}, {state}" if row.get("trained", True) else "still the clone"
    return [row["name"], str(row["backbone"]), features, branch]
