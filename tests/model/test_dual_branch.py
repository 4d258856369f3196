"""Two heads on one encoder: equal at the start, apart in memory, and only one of them can ever be trained."""

from __future__ import annotations

import pytest
import torch
from tolerances import IDENTITY, PROBABILITY, assert_close
from torch import Tensor, nn

from bsig.inputs.errors import InputError
from bsig.model.backbones import Classifier, classifier_from_timm
from bsig.model.dual_branch import DualBranch


@pytest.fixture
def classifier() -> Classifier:
    """A small network with BatchNorm, of this test alone."""
    return classifier_from_timm("test_resnet", pretrained=False)


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(4, 3, 64, 96)


def storages(module: nn.Module) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in module.state_dict().values()}


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def is_bit_identical(module: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_the_sigmoid_head_starts_as_the_softmax_heads_copy_and_shares_no_memory(
    default_model: DualBranch, inputs: Tensor
) -> None:
    softmax, sigmoid = default_model.softmax_head, default_model.sigmoid_head
    assert is_bit_identical(sigmoid, snapshot(softmax))
    assert not storages(softmax) & storages(sigmoid)
    features = default_model.features(inputs)
    assert torch.equal(default_model.softmax_logits(features), default_model.sigmoid_logits(features))


def test_two_models_of_one_classifier_share_the_encoder_and_not_the_sigmoid_head(classifier: Classifier) -> None:
    first, second = DualBranch(classifier), DualBranch(classifier)
    assert first.encoder is second.encoder
    assert not storages(first.sigmoid_head) & storages(second.sigmoid_head)


def test_only_the_sigmoid_head_can_be_trained(default_model: DualBranch) -> None:
    trainable = {name for name, parameter in default_model.named_parameters() if parameter.requires_grad}
    assert trainable == {"sigmoid_head.linear.weight", "sigmoid_head.linear.bias"}


def test_train_leaves_encoder_and_softmax_head_in_eval_mode(classifier: Classifier) -> None:
    model = DualBranch(classifier)
    assert not any(module.training for module in model.modules())
    model.train()
    assert all(module.training for module in model.sigmoid_head.modules())
    for part in (model.encoder, model.softmax_head):
        assert not any(module.training for module in part.modules())
    model.eval()
    assert not any(module.training for module in model.modules())


def test_a_forward_pass_in_train_mode_leaves_batch_norm_statistics_bit_identical(
    classifier: Classifier, inputs: Tensor
) -> None:
    model = DualBranch(classifier).train()
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.encoder.modules())
    before = snapshot(model.encoder)
    model.features(inputs)
    model.encoder(inputs)
    assert is_bit_identical(model.encoder, before)


def test_training_moves_the_sigmoid_head_and_leaves_all_else_bit_identical(
    classifier: Classifier, inputs: Tensor
) -> None:
    model = DualBranch(classifier).train()
    frozen = {name: snapshot(part) for name, part in (("encoder", model.encoder), ("head", model.softmax_head))}
    start = snapshot(model.sigmoid_head)
    features = model.features(inputs)
    logits = model.softmax_logits(features)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    targets = nn.functional.one_hot(torch.arange(len(inputs)), model.num_classes).float()
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(
            model.sigmoid_logits(model.features(inputs)), targets, pos_weight=torch.tensor(model.num_classes - 1.0)
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not is_bit_identical(model.sigmoid_head, start)
    assert is_bit_identical(model.encoder, frozen["encoder"])
    assert is_bit_identical(model.softmax_head, frozen["head"])
    assert all(
        parameter.grad is None for part in (model.encoder, model.softmax_head) for parameter in part.parameters()
    )
    assert torch.equal(model.softmax_logits(model.features(inputs)), logits)


def test_features_carry_no_graph_and_leave_the_inputs_alone(classifier: Classifier, inputs: Tensor) -> None:
    original = inputs.clone()
    features = DualBranch(classifier).train().features(inputs)
    assert not features.requires_grad
    assert torch.equal(inputs, original)


def test_a_vector_added_to_every_softmax_row_leaves_every_softmax_probability(
    perturbed_model: DualBranch, inputs: Tensor
) -> None:
    features, head = perturbed_model.features(inputs), perturbed_model.softmax_head
    pooled = head.pooled(features).double()
    weight, bias = head.linear.weight.double(), head.linear.bias.double()
    vector = 0.05 * torch.randn(weight.shape[1], dtype=torch.float64)
    before = (pooled @ weight.T + bias).softmax(dim=1)
    after = (pooled @ (weight + vector).T + bias).softmax(dim=1)
    assert_close(after, before, IDENTITY)
    # And in float32, as the app computes it, up to the rounding of the logits.
    after = (pooled.float() @ (weight + vector).float().T + bias.float()).softmax(dim=1)
    assert_close(after, perturbed_model.softmax_logits(features).softmax(dim=1), PROBABILITY)


def test_the_same_vector_moves_the_sigmoid_probabilities(perturbed_model: DualBranch, inputs: Tensor) -> None:
    features, head = perturbed_model.features(inputs), perturbed_model.sigmoid_head
    with torch.no_grad():
        change = head.shifted(0.05)(features).sigmoid() - head(features).sigmoid()
    assert change.abs().max() > 0.01


def test_the_perturbed_model_keeps_the_prediction_and_changes_the_evidence(
    perturbed_model: DualBranch, default_model: DualBranch, inputs: Tensor
) -> None:
    features = perturbed_model.features(inputs)
    assert torch.equal(perturbed_model.softmax_logits(features), default_model.softmax_logits(features))
    assert not torch.equal(perturbed_model.sigmoid_logits(features), default_model.sigmoid_logits(features))


def test_a_model_knows_its_classes_and_where_it_lives(default_model: DualBranch) -> None:
    assert default_model.num_classes == len(default_model.class_names) == len(default_model.class_ids) == 1000
    assert default_model.device == torch.device("cpu")
    assert default_model.name == default_model.backbone_name == "tf_efficientnet_lite0"


def test_the_mean_softmax_row_follows_weights_that_are_written_to_after_all(classifier: Classifier) -> None:
    model = DualBranch(classifier)
    weight = model.softmax_head.last_linear.weight
    assert_close(model.mean_softmax_row(), weight.mean(dim=0), IDENTITY)
    with torch.no_grad():
        weight.add_(1.0)
    assert_close(model.mean_softmax_row(), weight.mean(dim=0), IDENTITY)


def test_encoders_keep_their_weights_channels_last(default_model: DualBranch) -> None:
    convolutions = [layer for layer in default_model.encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert convolutions
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in convolutions)


# Which class is meant.


@pytest.mark.parametrize("name", [574, "574", " 574 ", "golf ball", "GOLF Ball", "n03445777", "N03445777"])
def test_a_class_is_found_by_index_name_and_id_in_any_case(default_model: DualBranch, name: int | str) -> None:
    assert default_model.class_names[default_model.class_index(name)] == "golf ball"


def test_each_class_name_and_id_finds_itself(default_model: DualBranch) -> None:
    for labels in (default_model.class_names, default_model.class_ids):
        assert [default_model.class_index(label) for label in labels] == list(range(1000))


def test_case_decides_between_the_dog_and_the_jacket(default_model: DualBranch) -> None:
    assert default_model.class_ids[default_model.class_index("Cardigan")] == "n02113186"
    assert default_model.class_ids[default_model.class_index("cardigan")] == "n02963159"
    with pytest.raises(InputError, match=r"of 2 classes .*, 264 \(Cardigan\), 474 \(cardigan\); give the index"):
        default_model.class_index("CARDIGAN")


def test_a_name_of_two_classes_is_neither_of_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = DualBranch.from_model(network, class_names=["crane", "heron", "crane"], input_size=64)
    with pytest.raises(InputError, match=r"\(='crane'\) is the name of 2 classes .*, 0 \(crane\), 2 \(crane\); give"):
        model.class_index("crane")
    assert [model.class_index(name) for name in ("heron", "0", 2)] == [1, 0, 2]


def test_a_class_is_found_in_every_unicode_form_of_its_name() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = DualBranch.from_model(network, class_names=["cafe\u0301", "th\u00e9", "lait"], input_size=64)
    names = ("caf\u00e9", "cafe\u0301", "CAF\u00c9", "the\u0301", "THE\u0301")
    assert [model.class_index(name) for name in names] == [0, 0, 0, 1, 1]
    with pytest.raises(InputError, match="nearest are th\u00e9"):
        model.class_index("the\u0301s")


@pytest.mark.parametrize("name", ["golf", "no such thing", "", "--5", "1e3", "9" * 5000, "²"])
def test_an_unknown_class_name_is_refused_with_its_value_and_where_to_look(
    default_model: DualBranch, name: str
) -> None:
    with pytest.raises(InputError) as caught:
        default_model.class_index(name)
    text = str(caught.value)
    assert f"(='{name}')" in text
    assert default_model.name in text
    assert ("the nearest are golf ball, golfcart" in text) if name == "golf" else ("the first are " in text)


@pytest.mark.parametrize("index", [-1, 1000, "-1", "1000", "123456789"])
def test_an_index_outside_is_refused_with_the_range(default_model: DualBranch, index: int | str) -> None:
    with pytest.raises(InputError, match=rf"\(={int(index)}\) must be from 0 to 999"):
        default_model.class_index(index)


def test_a_trained_branch_is_told_from_a_clone_by_its_weights_alone(
    default_model: DualBranch, perturbed_model: DualBranch
) -> None:
    assert not default_model.is_trained
    assert perturbed_model.is_trained
