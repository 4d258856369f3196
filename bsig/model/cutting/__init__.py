"""A network is cut into an encoder and a head, and the cut is checked on a real input.

In: any timm classifier. Out: its parts, which together compute what the whole computes. Open `cut.py` first.
"""
