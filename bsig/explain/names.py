"""What CAM variants, treatments of negative weights, readings and branches are called, for whoever knows no torch yet.

`methods.py`, `readings.py` and `cams.py` say what they are; tests/cli/test_explain.py holds the names together.
"""

METHODS = ("cam", "grad-cam", "grad-cam++", "xgrad-cam", "layer-cam", "hires-cam", "ablation-cam", "score-cam",
           "eigen-cam")  # fmt: skip
WEIGHTS = ("signed", "nonnegative", "paper")
READINGS = ("plain", "levelled", "window", "window-log-p", "sigmoid-logit", "log-odds", "competition", "cell-log-odds",
            "pairwise", "finer", "probability-gradient")  # fmt: skip
BRANCHES = ("softmax", "sigmoid")
