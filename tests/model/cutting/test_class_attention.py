"""CaiT, XCiT and VOLO: maps over the tokens that class attention reads. VOLO and CrossViT as published: why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from image_towers import randomised, weights_file
from PIL import Image
from timm.models.crossvit import CrossVit
from timm.models.volo import VOLO
from tolerances import FLOAT32, IDENTITY, assert_close
from torch import nn

from bsig import Explainer
from bsig.explain.cams import class_scores_of, head_score, hires_cam_weights, weighted_map
from bsig.explain.methods import methods_of
from bsig.inputs.errors import InputError
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.cutting.class_attention import ClassAttentionHead, _HeldNorm
from bsig.model.cutting.cut import cut_network
from bsig.model.cutting.layout import CutError
from bsig.model.model_settings import ModelSettings
from bsig.model.new_model import new_model

CLASSES, SIDE = 7, 64
SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": SIDE}
INPUTS = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


def _volo(**settings: Any) -> nn.Module:
    return VOLO(layers=(1, 1), embed_dims=(32, 32), num_heads=(2, 2), stem_hidden_dim=8, mlp_ratio=2.0,
                downsamples=(True, False), outlook_attention=(True, False), img_size=SIDE, num_classes=CLASSES,
                post_layers=("ca", "ca"), **settings)  # fmt: skip


NETWORKS: dict[str, Callable[[], Any]] = {
    "CaiT": lambda: timm.create_model("cait_xxs24_224", num_classes=CLASSES, **SMALL),
    "XCiT": lambda: timm.create_model("xcit_nano_12_p16_224", num_classes=CLASSES, **SMALL),
    "XCiT, all tokens normed": lambda: timm.create_model(
        "xcit_nano_12_p16_224", num_classes=CLASSES, tokens_norm=True, **SMALL
    ),
    "VOLO, no auxiliary head": lambda: _volo(use_aux_head=False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_give_the_networks_logits_for_several_pictures(name: str) -> None:
    network = randomised(NETWORKS[name]())
    expected = network(INPUTS).detach()
    parts = cut_network(network, INPUTS[:1])
    with torch.no_grad():
        features = parts.encoder(INPUTS)
        assert_close(parts.head(features), expected, FLOAT32)
        assert_close(parts.head.map_logits(features), expected, FLOAT32)
    assert parts.grid_hw == tuple(features.shape[2:])
    assert features.shape[2] * features.shape[3] == 16
    assert isinstance(parts.head, ClassAttentionHead)
    assert methods_of(parts.head)[0] == "hires-cam"
    assert "cam" not in methods_of(parts.head)


def test_only_with_the_spread_held_do_tokens_of_class_attention_have_evidence() -> None:
    """CaiT reads its tokens behind layer norms alone: through them, every product of gradient and token is zero."""
    network = randomised(NETWORKS["CaiT"]()).double()
    parts = cut_network(network, INPUTS[:1].double())
    features, scores = parts.encoder(INPUTS.double()), class_scores_of(torch.tensor([0, 3, 5]), CLASSES)
    scores = scores.double()
    leaf = features.clone().requires_grad_(True)
    (through,) = torch.autograd.grad((parts.head(leaf) * scores).sum(), leaf)
    held = weighted_map(hires_cam_weights(head_score(parts.head, features, scores)), features)
    assert float((through * features).sum(dim=1).abs().max()) < 1e-6 * float(held.abs().max())


def test_a_held_norm_is_a_centring_and_a_division_by_a_number() -> None:
    """`dy/dx = g (1 - 11^T/n) / spread` behind the prefix; in the prefix the layer norm's own."""
    generator = torch.Generator().manual_seed(1)
    norm = nn.LayerNorm(5, eps=1e-6).double()
    norm.weight.data, norm.bias.data = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    tokens = torch.randn(1, 3, 5, generator=generator, dtype=torch.float64)
    held = _HeldNorm(norm, prefix=1)
    assert_close(held(tokens), norm(tokens), IDENTITY)
    own, fixed = (torch.autograd.functional.jacobian(layer, tokens) for layer in (norm, held))
    assert_close(fixed[0, 0, :, 0, 0], own[0, 0, :, 0, 0], IDENTITY)
    centring = torch.eye(5, dtype=torch.float64) - 1 / 5
    for token in (1, 2):
        spread = (tokens[0, token].var(unbiased=False) + 1e-6).sqrt()
        assert_close(fixed[0, token, :, 0, token], norm.weight[:, None] * centring / spread, IDENTITY)


def test_a_checkpoint_of_such_a_network_gives_the_same_maps(tmp_path: Path) -> None:
    file = weights_file(randomised(NETWORKS["CaiT"]()), tmp_path)
    settings = ModelSettings(model_kwargs=tuple(sorted(SMALL.items())))
    model = new_model("cait_xxs24_224", file, settings=settings)
    from_disk = load_checkpoint(save_checkpoint(model, tmp_path / "cait"))
    picture = Image.effect_noise((SIDE, SIDE), 80).convert("RGB")
    own, second = (Explainer(each).encode(picture).explain(2) for each in (model, from_disk))
    assert own.method == "hires-cam"
    assert own.softmax.map.shape == (4, 4)
    assert_close(second.sigmoid.map, own.softmax.map, FLOAT32)
    assert not any("pos_embed" in key for key in model.softmax_head.state_dict()), "the head holds what it uses"


def test_volo_is_refused_for_its_auxiliary_head_with_what_would_do() -> None:
    with pytest.raises(CutError, match=r"half of the highest logit among its tokens.*use_aux_head=false"):
        cut_network(_volo(), INPUTS[:1])


def test_crossvit_is_refused_for_its_two_grids() -> None:
    network = CrossVit(
        img_size=48, img_scale=(1.0, 1.0), patch_size=(12, 16), embed_dim=(16, 32), depth=((1, 1, 0),),
        num_heads=(2, 2), mlp_ratio=(2, 2, 1), num_classes=CLASSES,
    )  # fmt: skip
    with pytest.raises(CutError, match="2 grids at once, of 16 and 9 tokens, which no one map holds"):
        cut_network(network, INPUTS[:1, :, :48, :48])


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["volo_d1_224", "crossvit_tiny_240"])
def test_published_networks_are_refused_by_name(name: str) -> None:
    from bsig.model.backbones import classifier_from_timm

    with pytest.raises(InputError, match=f"'{name}'.* cannot be taken apart"):
        classifier_from_timm(name, pretrained=False)
