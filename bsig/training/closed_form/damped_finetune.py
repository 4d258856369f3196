"""Pictures and a trained branch -> the branch with its change damped where a class is likely (`damping.py`).

One more pass of the encoder, each picture as the model crops it and squashed whole; of a large set `most_pictures`,
evenly spread. Their grids are held in half precision: 1,000 pictures of 1280 channels and 7 x 7 cells are 250 MB.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch

from bsig.inputs.datasets.datasets import LabelledImages
from bsig.inputs.errors import InputError, StoppedEarly
from bsig.model.dual_branch import DualBranch
from bsig.model.heads import ClassificationHead
from bsig.training.closed_form.damping import damped_changes, likely_pictures
from bsig.training.closed_form.flat_finetune import encoded_twice
from bsig.training.config import DampingConfig

Progress = Callable[[int, int], None]


def damped_head(
    model: DualBranch,
    head: ClassificationHead,
    images: LabelledImages,
    index_of: Mapping[str, int],
    config: DampingConfig = DampingConfig(),
    *,
    batch_size: int = 16,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ClassificationHead:
    """A copy of the trained `head` whose rows differ from the softmax branch's by the damped change; its bias stays.

    Raises:
        StoppedEarly: `should_stop` said so.
        InputError: no readable picture of these classes, or settings out of range.
    """
    if not model.softmax_head.cam_is_exact:
        raise InputError(
            f"`backbone` (='{model.backbone_name}') must end in an average pool and one linear layer for damping, "
            "which is made of feature maps; leave it out."
        )
    samples = [sample for sample in images.samples if sample.class_name in index_of]
    samples = samples[:: max(-(-len(samples) // config.most_pictures), 1)]
    kept, log_probabilities, labels = [], [], []
    for start in range(0, len(samples), batch_size):
        if should_stop():
            raise StoppedEarly(
                f"stopped on request after {start} of {len(samples)} pictures of the damping; the trained epochs "
                "are kept: --resume goes on."
            )
        positions = list(range(start, min(start + batch_size, len(samples))))
        for at, features in encoded_twice(model, samples, positions, []):
            kept.append(features.half().cpu())
            log_probabilities.append(model.softmax_logits(features).detach().log_softmax(dim=1).cpu())
            labels += [index_of[samples[at].class_name]] * len(features)
        if progress:
            progress(positions[-1] + 1, len(samples))
    if not kept:
        raise InputError(f"'{images.name}' has no usable picture of these classes; damping needs one or more.")
    likely = likely_pictures(torch.cat(log_probabilities), torch.tensor(labels), config.pictures, config.temper)
    softmax, trained = model.softmax_head.last_linear.weight.detach(), head.last_linear.weight.detach()
    changes = (trained.to(softmax) - softmax).float().cpu()
    damped = damped_changes(changes, torch.cat(kept), likely, config.strength)
    found = copy.deepcopy(head)
    found.last_linear.weight.data.copy_(softmax + damped.to(softmax))
    return found
