"""The words of the Compare screen: titles, facts, notes and choices, from an explanation to HTML and labels."""

from __future__ import annotations

from bsig.explain.cams import Branch
from bsig.explain.drawing.comparison import Drawing
from bsig.explain.explainer import EncodedImage
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS, TREATMENTS, methods_of, why_not_cam
from bsig.explain.wording import area_text, number_text, percent, signed
from bsig.model.dual_branch import DualBranch
from bsig.model.new_model import not_trained
from bsig.ui.components.examples import Example
from bsig.ui.components.html import Html, bold, facts, joined, note

TITLES: dict[Branch, tuple[str, str]] = {
    "softmax": ("Softmax branch", "the pretrained head: it decides the class"),
    "sigmoid": ("Sigmoid branch", "the fine-tuned clone: one yes or no a class"),
    "centred": ("Class-centred", "softmax less the mean of all classes: no shift moves it"),
}
TREATMENT_CHOICES = [("Signed", "signed"), ("Non-negative", "nonnegative"), ("As in the paper's code", "paper")]
BIAS_WORDS = {
    True: "Drawn with each branch's bias of the class: the logit that every cell would have alone; their mean is the "
    "branch's logit.",
    False: "Drawn without the bias, as everywhere in the literature.",
}
DIFFERENCE = "Sigmoid less softmax: red where the sigmoid branch claims more, blue where softmax does"
NO_PICTURE = "Choose a picture: upload, paste, use the camera, or click an example."


def prediction(encoded: EncodedImage, explanation: Explanation) -> str:
    """The predicted class with both probabilities, and the class that is explained."""
    softmax, sigmoid = encoded.probabilities()
    index = explanation.predicted_index
    return (
        f"Predicted: {explanation.predicted_name} (softmax {percent(float(softmax[index]))}, "
        f"sigmoid {percent(float(sigmoid[index]))}). Explained: {explanation.class_name}."
    )


def crop_facts(encoded: EncodedImage) -> Html:
    """The three likeliest classes with their softmax probabilities."""
    softmax = encoded.probabilities()[0]
    return facts(
        (encoded.model.class_names[index], percent(float(softmax[index]))) for index in encoded.top_classes(count=3)
    )


def branch_facts(explanation: Explanation, branch: Branch) -> Html:
    """One branch's numbers for the class; their names are explained below the first map alone."""
    evidence = explanation.evidence(branch)
    rows = [
        ("Probability", percent(evidence.probability)),
        ("Logit", signed(evidence.logit, 2)),
        ("Positive area", area_text(evidence)),
        ("Range", f"{number_text(float(evidence.map.min()))} to {number_text(float(evidence.map.max()))}"),
    ]
    return facts(rows, explain=branch == "softmax")


def reading_note(explanation: Explanation, drawing: Drawing, model: DualBranch) -> Html:
    """How the maps are to be read, and below it what is special about this model."""
    method = CAM_METHODS[explanation.method]
    rows, columns = explanation.softmax.map.shape
    of_maps = [
        "Each map has its own scale: brightness cannot be compared." if drawing.own_scale else "",
        f"{method.title}: {method.note}",
        TREATMENTS[explanation.weights],
        BIAS_WORDS[explanation.with_bias],
        f"The maps have {rows} x {columns} cells; finer detail is interpolation.",
        "Positive area counts cells above zero.",
    ]
    of_model = [
        "" if model.features_at == "last" else f"Features are taken at layer '{model.features_at}'.",
        why_not_cam(model.softmax_head),
        not_trained(model),
    ]
    return joined(*(note(" ".join(filter(None, sentences))) for sentences in (of_maps, of_model)))


def wipe_label(explanation: Explanation) -> str:
    """What lies on either side of the wipe's line."""
    softmax, sigmoid = area_text(explanation.softmax), area_text(explanation.sigmoid)
    return f"Left: softmax branch, evidence on {softmax} of the picture. Right: sigmoid branch, on {sigmoid}."


def example_reason(example: Example) -> Html:
    """Why this picture is among the examples, what is really in it, and who made it."""
    text = f" {example.reason} Really there: {example.truth}. Picture: {example.credit}."
    return note(joined(bold(f"{example.title}."), text))


def class_choices(encoded: EncodedImage) -> list[tuple[str, str]]:
    """(label, name) of all classes: the top five of either branch first, with both probabilities."""
    names = encoded.model.class_names
    softmax, sigmoid = encoded.probabilities()
    top = list(dict.fromkeys([*encoded.top_classes("softmax"), *encoded.top_classes("sigmoid")]))
    rest = sorted(set(range(len(names))) - set(top), key=lambda index: names[index].casefold())
    first = [
        (
            f"{names[index]} (softmax {percent(float(softmax[index]))}, sigmoid {percent(float(sigmoid[index]))})",
            names[index],
        )
        for index in top
    ]
    return first + [(names[index], names[index]) for index in rest]


def method_choices(model: DualBranch) -> list[tuple[str, str]]:
    """(label, key) of the methods that this model's head allows, in the order of `CAM_METHODS`."""
    allowed = methods_of(model.softmax_head)
    return [(method_label(key), key) for key in CAM_METHODS if key in allowed]


def method_label(key: str) -> str:
    """A method's title, with what a visitor should know before choosing it."""
    method = CAM_METHODS[key]
    marks = [
        mark for mark, holds in (("slow", method.is_slow), ("no evidence against", not method.shows_negative)) if holds
    ]
    return f"{method.title} ({', '.join(marks)})" if marks else method.title
