"""A link is checked against what this app has: its pictures, checkpoints, classes and methods."""

from __future__ import annotations

from dataclasses import replace

from bsig.explain.explainer import can_add_bias
from bsig.explain.methods import CAM_METHODS, default_method, methods_of
from bsig.explain.readings import READINGS
from bsig.inputs.errors import InputError
from bsig.model.dual_branch import DualBranch
from bsig.model.finer_grid import why_not_finer
from bsig.ui.components.examples import bundled_examples, example_by_key
from bsig.ui.links.view import BETWEEN_CLASSES, OWN_SETTING, SETTINGS, View
from bsig.ui.workbench import Workbench


def possible_view(bench: Workbench, view: View) -> tuple[View, list[str]]:
    """The view with its checkpoint, class and method filled in, and one sentence for each part that cannot be had."""
    notes: list[str] = []
    keys = [example.key for example in bundled_examples()]
    if view.example and view.example not in keys:
        notes.append(f"The link's picture (='{view.example}') is not among the examples; the first one is shown.")
    example = example_by_key(view.example)
    checkpoint, model = _checkpoint(bench, view.checkpoint, notes)
    method = _method(model, view.method, notes)
    bias = view.bias and can_add_bias(model, method, view.weights)
    if view.bias and not bias:
        notes.append("The link asks for the bias, which this method and treatment do not allow; it is left out.")
    reason = why_not_finer(model) if view.finer_grid else ""
    if reason:
        notes.append(f"The link asks for the finer grid, which checkpoint '{model.name}' does not have: {reason}")
    view = replace(
        view,
        finer_grid=view.finer_grid and not reason,
        example=example.key,
        checkpoint=checkpoint,
        class_name=_class(model, view.class_name, example.class_name or "", notes),
        other_class=_further(model, [view.other_class], "other class", notes),
        more_classes=_further(model, view.more_class_names(), "further class", notes),
        method=method,
        bias=bias,
    )
    return _on_the_grid(bench, _with_settings(view, notes), model, notes), notes


def _checkpoint(bench: Workbench, name: str, notes: list[str]) -> tuple[str, DualBranch]:
    try:
        return name or bench.default_checkpoint, bench.model(name or None)
    except InputError:
        notes.append(f"The link's checkpoint (='{name}') is not here; '{bench.default_checkpoint}' is shown.")
        return bench.default_checkpoint, bench.model(None)


def _method(model: DualBranch, name: str, notes: list[str]) -> str:
    default = default_method(model.softmax_head)
    if name and name not in methods_of(model.softmax_head):
        title = CAM_METHODS[default].title
        notes.append(f"The link's method (='{name}') is not one of checkpoint '{model.name}'; {title} is shown.")
        return default
    return name or default


def _class(model: DualBranch, name: str, example_class: str, notes: list[str]) -> str:
    try:
        return model.class_names[model.class_index(name)] if name else example_class
    except InputError:
        notes.append(
            f"The link's class (='{name}') is not among the classes of checkpoint '{model.name}'; "
            f"{f'{example_class!r}' if example_class else 'the predicted one'} is shown."
        )
        return example_class


def _further(model: DualBranch, names: list[str], part: str, notes: list[str]) -> str:
    """The classes that the checkpoint has, as a link has them; a sentence for each other one."""
    notes += [
        f"The link's {part} (='{name}') is not among the classes of checkpoint '{model.name}'; it is left out."
        for name in names
        if name and name not in model.class_names
    ]
    return BETWEEN_CLASSES.join(name for name in names if name in model.class_names)


def _with_settings(view: View, notes: list[str]) -> View:
    """The view with the checkpoint's own settings where the link's break the rule of its reading."""
    settings = READINGS[view.reading].settings if view.reading else ()
    for name, setting in zip(SETTINGS, settings, strict=False):
        value = getattr(view, name)
        if value != OWN_SETTING and not setting.holds(value):
            notes.append(
                f"The link's {name.replace('_', '-')} (={value:g}) must be {setting.kind_of_number} from "
                f"{setting.low:g} to {setting.high:g} for the reading '{view.reading}'; the checkpoint's own is taken."
            )
            view = replace(view, **{name: OWN_SETTING})  # type: ignore[arg-type]
    return view


def _on_the_grid(bench: Workbench, view: View, model: DualBranch, notes: list[str]) -> View:
    """The view without a cell or a channel that this model's maps do not have."""
    channels = model.softmax_head.last_linear.weight.shape[1]
    if view.channel >= channels:
        notes.append(f"The link's channel (={view.channel}) must be below {channels}; the strongest one is shown.")
        view = replace(view, channel=-1)
    cell = view.cell_index()
    if cell:
        rows, columns = bench.encode(example_by_key(view.example).path, view.checkpoint).features.shape[2:]
        if not (-0.5 <= cell[0] <= rows - 0.5 and -0.5 <= cell[1] <= columns - 0.5):
            notes.append(f"The link's cell (={view.cell}) lies outside the {rows} x {columns} grid; it is left out.")
            view = replace(view, cell="")
    return view
