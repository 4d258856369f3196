"""The formulas, each without a picture or a model in sight.

In: arrays. Out: numbers for each bootstrap draw. Open `catalogue.py` first: it lists them all.
"""
