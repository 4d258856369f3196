"""The plots of a training, epoch by epoch; epoch 0 is the branch before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bsig.ui.plots.look import GREY, SERIES, base_figure, go

Epochs = Sequence[dict[str, Any]]
HEIGHT = 270
MOST_TICKS = 6
SIGMOID, SOFTMAX, HELD_OUT = SERIES["sigmoid"]["colour"], SERIES["softmax"]["colour"], SERIES["centred"]["colour"]


def loss_figure(epochs: Epochs) -> go.Figure:
    """Class-balanced binary cross-entropy: of the training pictures while they train, of held-out ones after."""
    figure = _epoch_figure("loss", epochs)
    _add_line(figure, epochs, "loss", "training", SIGMOID, "solid", "circle")
    _add_line(figure, epochs, "held_out_loss", "held out", HELD_OUT, "dash", "diamond")
    return figure


def accuracy_figure(epochs: Epochs) -> go.Figure:
    """Top-1 of the sigmoid branch beside the softmax branch's, which is frozen."""
    figure = _epoch_figure("top-1 accuracy", epochs)
    _add_line(figure, epochs, "sigmoid_accuracy", "sigmoid, training", SIGMOID, "solid", "circle")
    _add_line(figure, epochs, "held_out_sigmoid_accuracy", "sigmoid, held out", HELD_OUT, "dash", "diamond")
    _add_line(figure, epochs, "held_out_softmax_accuracy", "softmax, held out (frozen)", SOFTMAX, "dot", None)
    if not _has(epochs, "held_out_softmax_accuracy"):
        _add_line(figure, epochs, "softmax_accuracy", "softmax, training (frozen)", SOFTMAX, "dot", None)
    figure.update_yaxes(tickformat=".0%")
    return figure


def areas_figure(epochs: Epochs, start: dict[str, Any] | None) -> go.Figure:
    """Positive area of classes that are there and of absent ones, against where the softmax maps stand."""
    figure = _epoch_figure("positive area", epochs)
    _add_line(figure, epochs, "absent_area", "absent classes", SIGMOID, "solid", "circle")
    _add_line(figure, epochs, "own_area", "predicted class", HELD_OUT, "dash", "diamond")
    if start and epochs:
        last = max(epoch["number"] for epoch in epochs)
        figure.add_scatter(
            x=[0, max(last, 1)], y=[start["softmax_absent_area"]] * 2, mode="lines", name="softmax, absent classes",
            line={"color": SOFTMAX, "dash": "dot", "width": 2}, hovertemplate="%{y:.1%}",
        )  # fmt: skip
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.02])
    return figure


def branch_figure(epochs: Epochs) -> go.Figure:
    """How far the branch has gone from the softmax head: weights of opposite sign, and the shared component."""
    figure = _epoch_figure("share", epochs)
    _add_line(figure, epochs, "sign_disagreement", "weights of opposite sign", SIGMOID, "solid", "circle")
    _add_line(figure, epochs, "shared_energy_share", "shared by all classes", HELD_OUT, "dash", "diamond")
    figure.update_yaxes(tickformat=".3~p", rangemode="tozero")
    return figure


FIGURES: dict[str, tuple[str, Callable[..., go.Figure]]] = {
    "loss": ("Loss", loss_figure),
    "accuracy": ("Accuracy", accuracy_figure),
    "areas": ("Positive area of the maps", areas_figure),
    "branch": ("Distance from the softmax head", branch_figure),
}


def _epoch_figure(y_title: str, epochs: Epochs) -> go.Figure:
    figure = base_figure("epoch", y_title, HEIGHT)
    last = max((epoch["number"] for epoch in epochs), default=1)
    # Whole epochs only: plotly would label the middle between 0 and 1 as another 1.
    ticks = {"dtick": 1} if last <= MOST_TICKS else {"nticks": MOST_TICKS}
    figure.update_xaxes(rangemode="tozero", tickformat="d", **ticks)
    return figure


def _has(epochs: Epochs, key: str) -> bool:
    return any(epoch.get(key) is not None for epoch in epochs)


def _add_line(
    figure: go.Figure, epochs: Epochs, key: str, name: str, colour: str, dash: str, marker: str | None
) -> None:
    points = [(epoch["number"], epoch[key]) for epoch in epochs if epoch.get(key) is not None]
    if not points:
        return
    figure.add_scatter(
        x=[number for number, _ in points],
        y=[value for _, value in points],
        mode="lines+markers" if marker else "lines",
        name=name,
        line={"color": colour, "dash": dash, "width": 2.5},
        marker={"symbol": marker or "circle", "size": 7, "line": {"width": 1, "color": GREY}},
        hovertemplate="%{y:.4f}" if key.endswith("loss") else "%{y:.1%}",
    )
