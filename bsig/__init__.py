"""bsig: can I trust this heatmap? Softmax and sigmoid class activation maps of one classifier, side by side.

    model = bsig.load_checkpoint("imagenet1k-efficientnet_lite0")
    explanation = bsig.Explainer(model).encode("cat.jpg").explain("golf ball")
    explanation.softmax.map, explanation.sigmoid.map      # float32 (h, w), signed, in logits

Importing bsig loads no weights.
"""

from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.explanation import Evidence, Explanation
from bsig.explain.methods import CAM_METHODS, TREATMENTS
from bsig.explain.readings import READINGS
from bsig.inputs.errors import InputError
from bsig.inputs.version import __version__
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.checkpoints.save import save_checkpoint
from bsig.model.dual_branch import DualBranch

__all__ = [
    "CAM_METHODS",
    "READINGS",
    "TREATMENTS",
    "DualBranch",
    "EncodedImage",
    "Evidence",
    "Explainer",
    "Explanation",
    "InputError",
    "__version__",
    "list_checkpoints",
    "load_checkpoint",
    "save_checkpoint",
]
