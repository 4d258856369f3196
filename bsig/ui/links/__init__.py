"""A view as a link, and a link as a view.

In: a query string. Out: the checked inputs of a view. Open `view.py` first.
"""
