"""A view as a link, and a link as a view.

In: a query string. Out: the inputs that it asks for, checked. Open `view.py` first.
"""
