"""Two branches and the class-centred map of one picture, against a bare forward pass and against other libraries.

Everybody gets the same decoded picture, the same weights and the same number of threads. The bare forward pass is
timm's own network as timm makes it, on a tensor that lies ready. The other libraries draw the two branches' maps with
one network each, as they would be used: they have no second head, no class-centred map, and what they return is clamped
at zero and stretched to 0..1.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from bsig.cli.bench.rounds import PICTURE, Bench, alternating, times_of
from bsig.explain.explainer import Explainer
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.readings import READINGS
from bsig.inputs.images import Preprocessing, crop_image, read_image
from bsig.inputs.tensors import input_tensor
from bsig.model.backbones import DEFAULT_BACKBONE, timm_network
from bsig.model.dual_branch import DualBranch
from bsig.model.engines import ONNX_PACKAGES, fast_encoder, fast_features
from bsig.model.packaged_weights import packaged_weights
from bsig.model.weights import channels_last

CLASS = 574  # golf ball
FAST = tuple(key for key, method in CAM_METHODS.items() if not method.is_slow)
GRAD_CAM_NAMES = {
    "grad-cam": "GradCAM", "grad-cam++": "GradCAMPlusPlus", "xgrad-cam": "XGradCAM", "layer-cam": "LayerCAM",
    "hires-cam": "HiResCAM", "eigen-cam": "EigenCAM",
}  # fmt: skip
TORCH_CAM_NAMES = {"cam": "CAM", "grad-cam": "GradCAM"}
CHANNELS_LAST, FOLDED = "bare forward, channels last", "bare forward, channels last, BatchNorm folded"
HAS_ONNX = all(importlib.util.find_spec(package) is not None for package in ONNX_PACKAGES)
HAS_TORCH_CAM = importlib.util.find_spec("torchcam") is not None
Act = Callable[[], Any]


def whole_networks(model: DualBranch) -> dict[str, nn.Module]:
    """Timm's network of the default backbone with each branch's head: what a library without two heads is given."""
    network = timm_network(DEFAULT_BACKBONE, pretrained=False)
    network.load_state_dict(packaged_weights())
    networks = {"softmax": network.eval(), "sigmoid": copy.deepcopy(network).eval()}
    networks["sigmoid"].classifier.load_state_dict(model.sigmoid_head.last_linear.state_dict())
    return networks


def compare_results(bench: Bench) -> dict[str, Any]:
    """Ratios to a bare forward pass, and what the peers take for the same two maps in the same rounds."""
    model, picture = bench.model, read_image(PICTURE)
    networks, explainer = whole_networks(model), Explainer(model)
    last_network = channels_last(copy.deepcopy(networks["softmax"]))
    inputs = partial(ready_input, picture, model.preprocessing)
    ready = inputs()
    last = ready.contiguous(memory_format=torch.channels_last)
    acts: dict[str, Act] = {
        "bare forward": partial(_forward, networks["softmax"], ready),
        CHANNELS_LAST: partial(_forward, last_network, last),
        FOLDED: partial(_fast_forward, last_network, "torch", last),
        **{f"bsig {key}": partial(_explain, explainer, picture, (key,)) for key in FAST},
        "bsig all": partial(_explain, explainer, picture, FAST),
        **(_onnx_acts(model, last_network, picture, last) if HAS_ONNX else {}),
        **peers(networks, inputs),
    }
    times = alternating(acts, bench.rounds, bench.tell)
    if not bench.is_quick:
        # One of its two maps takes half a minute; the other one takes as long.
        softmax = {"softmax": networks["softmax"]}
        (slow,) = alternating({"": _grad_cam(softmax, inputs, "AblationCAM")}, 1, bench.tell, warm_up=0).values()
        times["grad-cam ablation-cam"] = times_of([2 * slow.median])
    bare = times["bare forward"]
    variants = {name: name.partition(" ")[2] for name in times if name.startswith(("grad-cam ", "torch-cam "))}
    return {
        "times": {name: seconds.milliseconds() for name, seconds in times.items()},
        "against_bare_forward": {name: seconds.ratio_to(bare) for name, seconds in times.items()},
        "against_bare_forward_channels_last": {name: s.ratio_to(times[CHANNELS_LAST]) for name, s in times.items()},
        "against_bare_forward_folded": {name: seconds.ratio_to(times[FOLDED]) for name, seconds in times.items()},
        "folding_moves_features_by": fast_encoder(model.encoder, "torch", last).change,
        # How many times as long a peer takes for two maps as bsig takes for its three.
        "peers_against_bsig": {name: times[name].ratio_to(times[f"bsig {key}"], 1) for name, key in variants.items()},
        "not_measured": [
            *([] if HAS_TORCH_CAM else ["torch-cam is not installed here: pip install torchcam"]),
            *([] if HAS_ONNX else ["ONNX Runtime is not installed here: pip install onnxruntime onnx"]),
        ],
    }


def change_results(bench: Bench) -> dict[str, Any]:
    """Another class, method, treatment or reading of a picture that is encoded already, in milliseconds."""
    encoded = Explainer(bench.model).encode(PICTURE)
    classes = itertools.cycle(range(bench.model.num_classes))
    methods, treatments = itertools.cycle(FAST), itertools.cycle(TREATMENTS)

    def next_class(method: str) -> None:
        encoded.explain(next(classes), method)

    acts: dict[str, Act] = {f"class, {key}": partial(next_class, key) for key in FAST}
    for key, reading in READINGS.items():
        other = CLASS if reading.needs_other_class else None
        acts[f"reading, {key}"] = partial(encoded.explain, encoded.predicted_index, reading=key, other_class=other)
    acts["method, in turn"] = lambda: encoded.explain(CLASS, next(methods))
    acts["treatment, in turn"] = lambda: encoded.explain(CLASS, "cam", next(treatments))
    times = alternating(acts, 5 * bench.rounds, bench.tell)
    return {"times": {name: seconds.milliseconds(3) for name, seconds in times.items()}}


def with_engine(model: DualBranch, engine: str) -> DualBranch:
    """The model with its encoder run by another engine."""
    return DualBranch(model.classifier(engine=engine), model.sigmoid_head, presence=model.presence, name=model.name)


def _onnx_acts(model: DualBranch, network: nn.Module, picture: Image.Image, inputs: Tensor) -> dict[str, Act]:
    return {
        "bare forward, onnxruntime": partial(_fast_forward, network, "onnxruntime", inputs),
        "bsig cam, onnxruntime": partial(_explain, Explainer(with_engine(model, "onnxruntime")), picture, ("cam",)),
    }


def _fast_forward(network: nn.Module, engine: str, inputs: Tensor) -> None:
    fast_features(network, engine, inputs)


def ready_input(picture: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """(1, 3, H, W), what the encoder gets of a decoded picture."""
    return input_tensor(crop_image(picture, preprocessing), preprocessing).contiguous()


def peers(networks: dict[str, nn.Module], inputs: Callable[[], Tensor]) -> dict[str, Act]:
    """The same two maps by grad-cam, and by torch-cam where it is installed; name -> act."""
    acts = {f"grad-cam {key}": _grad_cam(networks, inputs, name) for key, name in GRAD_CAM_NAMES.items()}
    if HAS_TORCH_CAM:
        acts |= {f"torch-cam {key}": _torch_cam(networks, inputs, name) for key, name in TORCH_CAM_NAMES.items()}
    return acts


def _forward(network: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad():
        network(inputs)


def _explain(explainer: Explainer, picture: Image.Image, methods: tuple[str, ...]) -> None:
    encoded = explainer.encode(picture)
    for key in methods:
        encoded.explain(CLASS, key)


def _grad_cam(networks: dict[str, nn.Module], inputs: Callable[[], Tensor], name: str) -> Act:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cams = [getattr(pytorch_grad_cam, name)(network, [network.bn2]) for network in networks.values()]

    def act() -> None:
        ready = inputs()
        with contextlib.redirect_stderr(io.StringIO()):  # Ablation-CAM's bar
            for cam in cams:
                cam(ready.clone(), [ClassifierOutputTarget(CLASS)])

    return act


def _torch_cam(networks: dict[str, nn.Module], inputs: Callable[[], Tensor], name: str) -> Act:
    import torchcam.methods

    # Networks of their own: its hooks stay on them and would slow everybody else's forward pass.
    copies = [copy.deepcopy(network) for network in networks.values()]
    extra = {"fc_layer": "classifier"} if name == "CAM" else {}
    cams = [getattr(torchcam.methods, name)(network, "bn2", **extra) for network in copies]

    def act() -> None:
        ready = inputs()
        for network, cam in zip(copies, cams, strict=True):
            with torch.set_grad_enabled(name != "CAM"):
                scores = network(ready.clone().requires_grad_(name != "CAM"))
                cam(CLASS, scores)

    return act
