"""Every variant that the `grad-cam` package also has gives its map, on real networks and through its own hooks.

Two things of the package are taken over for the comparison and are not in bsig's maps: after the weighted sum it sets
negative values to zero and divides by the maximum (`scale_cam_image`), which loses sign and unit. So its raw sum
(`get_cam_image`, signed) is compared with our map as it is, and its drawn map with ours after the same two steps. Both
at grid resolution: its enlargement to the input (OpenCV, bilinear) is a matter of drawing.

What differs by intent, and how the test goes about it:

- Ablation-CAM divides by `y`, here by `|y|`: compared for positive scores; that the sign is kept for negative ones is
  tested in test_cams.py.
- Where no feature is exactly zero, the package ablates with -1e7 in place of zero; the layers here end in a ReLU.
- Eigen-CAM's sign is arbitrary: compared up to it.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from pytorch_grad_cam import (
    AblationCAM,
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
)
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tolerances import LIBRARY, assert_close
from torch import Tensor, nn

from bsig.explain.cams import channel_masks, class_scores_of, head_score
from bsig.explain.methods import CAM_METHODS, signed_map
from bsig.model.backbones import Classifier, classifier_from_timm

PEERS = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "xgrad-cam": XGradCAM,
    "layer-cam": LayerCAM,
    "hires-cam": HiResCAM,
    "eigen-cam": EigenCAM,
    "ablation-cam": AblationCAM,
    "score-cam": ScoreCAM,
}
# These run the network once a channel in the package, so they get a network of 96 channels.
SLOW = ("ablation-cam", "score-cam")


def random_classifier(name: str) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return classifier_from_timm(name, pretrained=False)


@pytest.fixture(scope="module")
def resnet18() -> Classifier:
    return random_classifier("resnet18")


@pytest.fixture(scope="module")
def small_resnet() -> Classifier:
    return random_classifier("test_resnet")


def whole(classifier: Classifier) -> nn.Module:
    """Encoder and head as one network with the layer that grad-cam is to look at between them.

    The Identity gives the package a layer of its own to hook, after the encoder's last (in-place) ReLU.
    """
    return nn.Sequential(OrderedDict(encoder=classifier.encoder, layer=nn.Identity(), head=classifier.head))


def raw_and_drawn(peer: type[BaseCAM], network: nn.Module, inputs: Tensor, class_index: int) -> tuple[np.ndarray, ...]:
    """The package's signed sum at grid resolution, caught on its way, and its map after ReLU and rescaling."""
    caught = []
    with peer(network, [network.layer]) as cam:
        # All parameters are frozen; without a gradient at the input the package's hooks would record nothing.
        cam.compute_input_gradient = cam.uses_gradients
        compute = cam.get_cam_image
        cam.get_cam_image = lambda *arguments: caught.append(compute(*arguments)) or caught[-1]
        cam(inputs, [ClassifierOutputTarget(class_index)] * len(inputs))
    (raw,) = caught
    return np.asarray(raw), scale_cam_image(np.maximum(raw, 0))


def our_map(
    key: str, classifier: Classifier, inputs: Tensor, class_index: int, masked_logits: Tensor | None = None
) -> np.ndarray:
    with torch.no_grad():
        features = classifier.encoder(inputs)
    class_scores = class_scores_of(torch.full((len(inputs),), class_index), len(classifier.class_names))
    return signed_map(CAM_METHODS[key], head_score(classifier.head, features, class_scores, masked_logits))[0].numpy()


def assert_same_map(key: str, own: np.ndarray, raw: np.ndarray, scaled: np.ndarray) -> None:
    assert np.abs(raw).max() > 0
    if key == "eigen-cam":
        signs = np.sign((raw * own).sum(axis=(1, 2), keepdims=True))
        raw = signs * raw
        scaled = scale_cam_image(np.maximum(raw, 0))
    size = np.abs(raw).max()
    assert_close(own / size, raw / size, LIBRARY)
    assert_close(scale_cam_image(np.maximum(own, 0)), scaled, LIBRARY)


@pytest.mark.parametrize("class_index", [207, 574])
@pytest.mark.parametrize("key", [key for key in PEERS if key not in SLOW])
@pytest.mark.parametrize("backbone", ["default_classifier", "resnet18"])
def test_the_map_is_that_of_grad_cam(key: str, backbone: str, class_index: int, request: pytest.FixtureRequest) -> None:
    classifier = request.getfixturevalue(backbone)
    rows, columns = classifier.preprocessing.input_size_hw
    inputs = torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(5))
    raw, scaled = raw_and_drawn(PEERS[key], whole(classifier), inputs, class_index)
    assert_same_map(key, our_map(key, classifier, inputs, class_index), raw, scaled)


def test_the_ablation_map_of_a_positive_score_is_that_of_grad_cam(small_resnet: Classifier) -> None:
    inputs = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    network = whole(small_resnet)
    with torch.no_grad():
        class_index = int(network(inputs).argmax())
        assert network(inputs)[0, class_index] > 0
        assert small_resnet.encoder(inputs).min() == 0
    raw, scaled = raw_and_drawn(AblationCAM, network, inputs, class_index)
    assert_same_map("ablation-cam", our_map("ablation-cam", small_resnet, inputs, class_index), raw, scaled)


def test_the_score_cam_map_is_that_of_grad_cam(small_resnet: Classifier) -> None:
    inputs = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(5))
    network, class_index = whole(small_resnet), 3
    with torch.no_grad():
        masks = channel_masks(small_resnet.encoder(inputs)[0], (64, 96))
        masked_logits = torch.cat([network(inputs * mask) for mask in masks])[None]
    raw, scaled = raw_and_drawn(ScoreCAM, network, inputs, class_index)
    own = our_map("score-cam", small_resnet, inputs, class_index, masked_logits)
    assert_same_map("score-cam", own, raw, scaled)


def test_every_method_but_cam_has_its_peer_here() -> None:
    assert set(PEERS) == set(CAM_METHODS) - {"cam"}
