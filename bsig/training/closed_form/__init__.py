"""Parts of a sigmoid branch that need no descent: they are solved.

In: feature maps that are read while pictures are encoded, and a head. Out: a shift, a bias, a damped head. Open
`flat_shift.py` first.
"""
