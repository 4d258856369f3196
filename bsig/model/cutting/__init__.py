"""A network is cut into an encoder and a head. A real input checks the cut.

In: any timm classifier. Out: its parts, which together compute what the whole computes. Open `cut.py` first.
"""
