"""Parts of a sigmoid branch that are solved, not trained.

In: a head, and the feature maps of pictures while they are encoded. Out: a mixed head, a shift, a bias, a damped head.
Open `flat_shift.py` first.
"""
