"""What a softmax classifier leaves open, and what follows from it for a map.

In: heads, features and maps. Out: numbers with a unit and a meaning. Open `catalogue.py` first: it lists them all.
"""
