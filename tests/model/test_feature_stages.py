"""The stages of a backbone, with the grid of each."""

from __future__ import annotations

from bsig.model.feature_stages import feature_stages, stage_of


def test_stages_are_listed_with_their_grids_and_strides_only_where_the_network_has_them() -> None:
    stages = {stage.key: stage.grid_hw for stage in feature_stages("resnet18")}
    assert stages == {"last": None, "stride16": (14, 14), "stride8": (28, 28), "layer3": (14, 14), "layer2": (28, 28),
                      "layer1": (56, 56)}  # fmt: skip
    assert "stride16" not in {stage.key for stage in feature_stages("vit_tiny_patch16_224")}
    for stage in feature_stages("resnet18"):
        assert stage_of(stage.title) == stage.key
