"""bsig: can I trust this heatmap? Softmax and sigmoid class activation maps of one classifier, side by side.

    model = bsig.load_checkpoint("imagenet1k-efficientnet_lite0")
    explanation = bsig.Explainer(model).encode("cat.jpg").explain("golf ball")
    explanation.softmax.map, explanation.sigmoid.map      # float32 (h, w), signed, in logits
    explanation.plot(), explanation.save("out")

The public names are listed in `__init__.pyi`, where type checkers and editors read them too. Each is imported when it
is first used: importing bsig loads neither torch nor weights.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
