"""The formulas of the metrics. None of them sees a picture or a model.

In: arrays. Out: numbers for each bootstrap draw. Open `catalogue.py` first: it lists them all.
"""
