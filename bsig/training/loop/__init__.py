"""Pooled features and labels train one head.

In: features, a head, a `TrainingConfig`. Out: the trained head and one row of measures an epoch. Open `train.py` first.
"""
