"""Zero-shot models: logits, probabilities and maps are those of the published formulas, worked out here with NumPy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from image_towers import CLIP, EVA, SETTINGS, SIDE, SIGLIP, SIGLIP_GAP, SMALL, TOWERS, randomised, tower, weights_file
from PIL import Image
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from tolerances import FLOAT32, IDENTITY, assert_close
from torch import nn

from bsig import DualBranch, Explainer
from bsig.explain.cams import class_scores_of, head_score, hires_cam_weights, weighted_map
from bsig.explain.methods import default_method, methods_of
from bsig.explain.readings import log_presence, presence_note
from bsig.inputs.errors import InputError
from bsig.inputs.paths import ASSETS
from bsig.model.backbones import BackboneOptions, classifier_from_timm
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.class_embeddings import ClassEmbeddings
from bsig.model.cutting.cut import Parts
from bsig.model.cutting.image_tower import (
    EmbeddingBody,
    EmbeddingEncoder,
    EmbeddingHead,
    cut_image_tower,
    with_class_rows,
)
from bsig.model.cutting.layout import GridLayout
from bsig.model.model_settings import ModelSettings
from bsig.model.new_model import ZERO_SHOT, new_model, not_trained
from bsig.model.zero_shot import activation_note, tower_options, zero_shot_heads

SCALE, BIAS, CLASSES = 50.0, -3.5, 5
INPUTS = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(7))


def vectors(width: int) -> torch.Tensor:
    """Text embeddings of lengths that differ: only their directions may count."""
    generator = torch.Generator().manual_seed(width)
    return torch.randn(CLASSES, width, generator=generator) * torch.arange(1, CLASSES + 1)[:, None]


def cosines(embeddings: torch.Tensor, texts: torch.Tensor) -> np.ndarray:
    """`e . t / (|e| |t|)`, in float64."""
    e, t = embeddings.detach().double().numpy(), texts.double().numpy()
    return (e @ t.T) / np.outer(np.sqrt((e**2).sum(1)), np.sqrt((t**2).sum(1)))


def small_model(name: str, folder: Path, scale: float | None = SCALE, bias: float | None = BIAS) -> DualBranch:
    """A zero-shot model of a small tower."""
    embeddings = ClassEmbeddings(vectors(TOWERS[name]), logit_scale=scale, logit_bias=bias)
    return new_model(name, weights_file(tower(name), folder), settings=SETTINGS, class_embeddings=embeddings)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DualBranch]:
    """A zero-shot model of each small tower."""
    return {name: small_model(name, tmp_path_factory.mktemp("towers")) for name in TOWERS}


@pytest.mark.parametrize("name", TOWERS)
def test_softmax_and_sigmoid_probabilities_are_clips_and_siglips_formula(
    name: str, models: dict[str, DualBranch]
) -> None:
    with torch.no_grad():
        expected = SCALE * cosines(tower(name)(INPUTS), vectors(TOWERS[name]))
    model = models[name]
    features = model.features(INPUTS)
    powers = np.exp(expected - expected.max(axis=1, keepdims=True))
    assert_close(model.softmax_logits(features).softmax(dim=1), powers / powers.sum(axis=1, keepdims=True), FLOAT32)
    assert_close(model.sigmoid_logits(features).sigmoid(), 1 / (1 + np.exp(-(expected + BIAS))), FLOAT32)


def _projecting() -> nn.Module:
    """An average pool, then a projection with a bias: the only kind of tower with an exact CAM."""
    return randomised(timm.create_model("test_resnet", num_classes=24))


def _zero_shot(parts: Parts, texts: torch.Tensor) -> nn.Module:
    return with_class_rows(parts.head, SCALE * nn.functional.normalize(texts, dim=1))


def test_the_mean_of_the_map_is_the_logit_behind_a_pool_and_a_projection() -> None:
    network, texts = _projecting(), vectors(24)
    expected = SCALE * cosines(network(INPUTS), texts)
    parts = cut_image_tower(network, INPUTS[:1])
    assert isinstance(parts.encoder, EmbeddingEncoder)
    head = _zero_shot(parts, texts)
    assert head.cam_is_exact
    with torch.no_grad():
        maps = torch.einsum("ck,bkhw->bchw", head.last_linear.weight, parts.encoder(INPUTS))
    assert_close(maps.mean(dim=(2, 3)), expected, FLOAT32)


def test_the_cells_are_the_unnormalised_embeddings_over_one_number_a_picture() -> None:
    network = _projecting()
    embedding = network(INPUTS).detach()
    encoder = cut_image_tower(network, INPUTS[:1]).encoder
    with torch.no_grad():
        cells, features = encoder.embedded_cells(INPUTS), encoder(INPUTS)
    assert_close(cells.mean(dim=(2, 3)), embedding, FLOAT32)
    assert_close(features * embedding.norm(dim=1)[:, None, None, None], cells, FLOAT32)
    assert_close(features.mean(dim=(2, 3)).norm(dim=1), torch.ones(3), FLOAT32)


class _Mean(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean(dim=(2, 3))


def test_a_map_holds_the_length_fixed_where_through_it_every_map_would_sum_to_zero() -> None:
    """The same tower once as an exact head and once as a chain of layers: HiResCAM is CAM over the cells' number."""
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 7, 3, 5, generator=generator, dtype=torch.float64)
    projection = nn.Linear(7, 11, bias=False).double()
    head = EmbeddingHead(
        EmbeddingBody(_Mean(), projection), nn.Linear(11, CLASSES), GridLayout("NCHW", 7), pools_first=True
    ).double()
    texts = torch.randn(CLASSES, 11, generator=generator, dtype=torch.float64)
    head.linear.weight.data, head.linear.bias.data = texts, torch.zeros(CLASSES, dtype=torch.float64)
    scores = class_scores_of(torch.tensor([1, 4]), CLASSES, dtype=torch.float64)
    score = head_score(head, features, scores)
    cam = weighted_map(hires_cam_weights(score), features)

    embedding = projection(features.mean(dim=(2, 3)))
    logits = embedding @ texts.T / embedding.norm(dim=1, keepdim=True)
    assert_close(score.value, (logits * scores).sum(dim=1), IDENTITY)
    assert_close(cam.sum(dim=(1, 2)), score.value, IDENTITY)
    rows = (scores @ texts @ projection.weight) / embedding.norm(dim=1, keepdim=True)
    assert_close(cam, torch.einsum("bk,bkhw->bhw", rows, features) / 15, IDENTITY)

    leaf = features.clone().requires_grad_(True)
    (through,) = torch.autograd.grad((head(leaf) * scores).sum(), leaf)
    assert float((through * features).sum().abs()) < 1e-12


def test_an_attention_pool_of_clips_resnet_gives_the_towers_embedding_and_no_exact_cam() -> None:
    block = ByoBlockCfg(type="bottle", d=1, c=64, s=2, gs=0, br=0.25)
    shape = ByoModelCfg(blocks=(block,) * 2, stem_chs=16, stem_type="3x3", head_type="attn_abs")
    network = randomised(ByobNet(shape, num_classes=16, img_size=SIDE))
    expected = nn.functional.normalize(network(INPUTS), dim=1).detach()
    parts = cut_image_tower(network, INPUTS[:1])
    with torch.no_grad():
        assert_close(parts.head(parts.encoder(INPUTS)), expected, FLOAT32)
    assert isinstance(parts.head, EmbeddingHead)
    assert "cam" not in methods_of(parts.head)


@pytest.mark.parametrize(("name", "exact"), [(CLIP, False), (SIGLIP, False), (SIGLIP_GAP, True), (EVA, False)])
def test_cam_is_offered_only_where_tokens_stand_linearly_in_the_logit(
    name: str, exact: bool, models: dict[str, DualBranch]
) -> None:
    model = models[name]
    picture = Image.effect_noise((SIDE, SIDE), 80).convert("RGB")
    encoded = Explainer(model).encode(picture)
    assert ("cam" in methods_of(model.softmax_head)) is exact
    if exact:
        explanation = encoded.explain(2, method="cam")
        assert_close(explanation.sigmoid.map.mean() + BIAS, np.float64(explanation.sigmoid.logit), FLOAT32)
        assert_close(explanation.softmax.map, explanation.sigmoid.map, FLOAT32)
    else:
        with pytest.raises(InputError, match="average pool and one linear layer"):
            encoded.explain(2, method="cam")
        assert np.abs(encoded.explain(2, method="hires-cam").softmax.map).max() > 0


def test_a_shift_of_all_rows_leaves_softmax_and_moves_the_sigmoid(models: dict[str, DualBranch]) -> None:
    model = models[CLIP]
    features = model.features(INPUTS)
    vector = torch.randn(512, generator=torch.Generator().manual_seed(1))
    softmax, sigmoid = model.softmax_head.shifted(vector)(features), model.sigmoid_head.shifted(vector)(features)
    assert_close(softmax.softmax(dim=1), model.softmax_logits(features).softmax(dim=1), FLOAT32)
    change = (sigmoid - model.sigmoid_logits(features)).detach()
    assert float(change.abs().min()) > 1e-4
    assert_close(change, change[:, :1].expand_as(change), FLOAT32)


@pytest.mark.parametrize("name", TOWERS)
def test_a_checkpoint_of_it_gives_the_same_logits_and_says_what_it_is(
    name: str, models: dict[str, DualBranch], tmp_path: Path
) -> None:
    model = models[name]
    from_disk = load_checkpoint(save_checkpoint(model, tmp_path / "zero-shot"))
    features = from_disk.features(INPUTS)
    assert torch.equal(features, model.features(INPUTS))
    assert torch.equal(from_disk.sigmoid_logits(features), model.sigmoid_logits(features))
    assert from_disk.metadata["zero_shot"] == {
        "logit_scale": SCALE,
        "logit_bias": BIAS,
        "class_embeddings": {"source": "a matrix in memory", "sha256": None},
    }
    assert not_trained(from_disk) == ZERO_SHOT
    assert "zero-shot" in repr(from_disk)


def test_its_presence_is_the_sigmoids_own_probability_without_a_prior_of_fine_tuning(
    models: dict[str, DualBranch],
) -> None:
    logits = torch.tensor([-2.0, 0.5])
    assert_close(log_presence(models[SIGLIP], logits), np.log(1 / (1 + np.exp(-logits.numpy()))), FLOAT32)
    assert "own probability" in presence_note(models[SIGLIP])


def test_without_scale_and_bias_clips_are_taken_and_said(tmp_path: Path) -> None:
    model = small_model(CLIP, tmp_path, scale=None, bias=None)
    with torch.no_grad():
        expected = 100 * cosines(tower(CLIP)(INPUTS), vectors(512))
    assert_close(model.softmax_logits(model.features(INPUTS)), expected, FLOAT32)
    notes = " ".join(model.notes)
    assert "100 (CLIP's; none is given: --logit-scale changes it) times the cosine" in notes
    assert "No logit bias is given" in notes
    assert not model.is_trained


@pytest.mark.parametrize(("scale", "bias"), [(None, BIAS), (SCALE, None)])
def test_a_siglip_tower_is_refused_without_its_learned_numbers(
    scale: float | None, bias: float | None, models: dict[str, DualBranch]
) -> None:
    embeddings = ClassEmbeddings(vectors(TOWERS[SIGLIP]), logit_scale=scale, logit_bias=bias)
    with pytest.raises(InputError, match="has learned its own logit scale and bias"):
        zero_shot_heads(models[SIGLIP].classifier(), embeddings)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((CLASSES, 40), "5 x 40, .* width 512; embed the names"), ((512, CLASSES), "512 x 5, .*it looks transposed")],
)
def test_embeddings_of_another_width_are_refused_with_both(
    shape: tuple[int, int], sentence: str, models: dict[str, DualBranch]
) -> None:
    with pytest.raises(InputError, match=sentence):
        zero_shot_heads(models[CLIP].classifier(), ClassEmbeddings(torch.ones(shape)))


@pytest.mark.parametrize(
    ("name", "instead"),
    [(f"{SIGLIP_GAP}.webli", f"{SIGLIP}.webli"), ("resnet50_clip_gap.openai", "resnet50_clip.openai")],
)
def test_a_published_tower_without_its_pooling_is_refused_with_the_one_that_has_it(name: str, instead: str) -> None:
    with pytest.raises(InputError, match=f"without the layer .* use '{instead}'"):
        new_model(name, class_embeddings=ClassEmbeddings(vectors(32)))


def test_a_setting_of_a_classifier_is_refused() -> None:
    embeddings = ClassEmbeddings(vectors(512))
    with pytest.raises(InputError, match="must be left out with `class_embeddings`"):
        new_model(CLIP, options=BackboneOptions(global_pool="avg"), class_embeddings=embeddings)
    with pytest.raises(InputError, match="must be timm's name of an image tower"):
        new_model("hf:timm/any", class_embeddings=embeddings)
    with pytest.raises(InputError, match=r"2 names, .* has 5 rows"):
        new_model(CLIP, settings=ModelSettings(class_names=("cat", "dog")), class_embeddings=embeddings)


def test_weights_of_another_activation_are_said_with_the_network_that_has_it() -> None:
    assert "'vit_base_patch16_clip_quickgelu_224.openai'" in activation_note("vit_base_patch16_clip_224.openai")
    assert not activation_note("vit_base_patch16_clip_quickgelu_224.openai")
    assert not activation_note(CLIP)
    assert not activation_note(SIGLIP)


def test_attention_that_nobody_has_trained_is_not_taken_for_a_mean() -> None:
    network = timm.create_model(SIGLIP, **SMALL).eval()
    with torch.no_grad():  # queries of zero weigh all tokens alike, to the last bit
        network.attn_pool.q.weight.zero_()
        network.attn_pool.q.bias.zero_()
    assert not cut_image_tower(network, INPUTS[:1]).head.pools_first


def test_names_and_numbers_go_before_those_of_the_file(tmp_path: Path) -> None:
    network = randomised(timm.create_model("test_vit", num_classes=24))
    names = ["ant", "bee", "cat", "dog", "eel"]
    model = DualBranch.from_class_embeddings(
        "test_vit",
        vectors(24).tolist(),
        names,
        weights=weights_file(network, tmp_path),
        logit_scale=20.0,
        logit_bias=-1.0,
    )
    rows, columns = model.preprocessing.input_size_hw
    inputs = torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(1))
    expected = 20 * cosines(network(inputs), vectors(24)) - 1
    assert_close(model.sigmoid_logits(model.features(inputs)), expected, FLOAT32)
    assert model.class_names == tuple(names)


ROW = re.compile(
    r"\| (?P<names>[^|]+) \| [^|]+ \| (?P<exact>yes|no) \| `(?P<default>[^|`]+)` \| `?(?P<at>[^|`]+?)`? \|"
)


@pytest.mark.nightly
def test_the_documents_table_of_towers_is_true_of_timms_networks() -> None:
    page = (ASSETS / "docs" / "heads.md").read_text(encoding="utf-8").partition("| tower |")[2]
    rows = list(ROW.finditer(page))
    assert len(rows) == 5
    for row in rows:
        for name in row["names"].partition(" (")[0].split(", "):
            options = tower_options(name, BackboneOptions(), is_published=True)
            tower_parts = classifier_from_timm(name, pretrained=False, options=options)
            assert tower_parts.head.cam_is_exact == (row["exact"] == "yes"), name
            assert default_method(tower_parts.head) == row["default"], name
            at = "the last feature map" if tower_parts.features_at == "last" else tower_parts.features_at
            assert at == row["at"], name
