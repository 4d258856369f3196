"""A model card says what checkpoint.json says, and is text alone whatever people wrote into it."""

from __future__ import annotations

from bsig.model.checkpoints.card import escaped, model_card


def test_a_model_card_says_what_checkpoint_json_says_and_that_a_model_is_doctored() -> None:
    description = {
        "backbone": {"name": "resnet50.a1_in1k", "grid_hw": [7, 7]}, "branch": "full", "class_names": ["a_b", "c|d"],
        "tensors_sha256": "00ff", "doctored": {"is_doctored": True}, "training": {"epochs": 3},
    }  # fmt: skip
    card = model_card("cat*dog", description)
    assert "base_model: timm/resnet50.a1_in1k" in card
    assert "Doctored on purpose" in card
    assert r"a\_b, c\|d" in card
    assert r"# cat\*dog" in card
    assert "7 x 7" in card


def test_escaped_text_is_one_line_without_markup() -> None:
    assert escaped("<b>\n[x](y) & `z`") == r"&lt;b&gt; \[x\]\(y\) &amp; \`z\`"
