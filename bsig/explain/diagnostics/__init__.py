"""Numbers about a map: how much of it softmax leaves open, and how the two branches differ.

In: heads, features and maps. Out: numbers with a unit and a meaning. Open `catalogue.py` first: it lists them all.
"""
