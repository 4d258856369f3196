"""The Evaluate screen: the shipped results, and the same metrics on a visitor's own pictures.

In: a checkpoint, or a visitor's pictures and settings. Out: tables, plots and files. Open `screen.py` first.
"""
