"""One encoder, two heads, and the folder they are kept in.

In: a timm name, a weights file, a checkpoint folder. Out: a `DualBranch`, whose softmax head is frozen and whose
sigmoid head can be trained. Open `dual_branch.py` first; `backbones.py` makes its encoder, `heads.py` its heads.
"""
