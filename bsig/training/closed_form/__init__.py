"""Parts of a sigmoid branch that need no descent: they are solved.

In: features, labels and a head. Out: a shift, a bias, a damped change. Open `flat_shift.py` first.
"""
