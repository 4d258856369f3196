"""One explanation as a page that opens offline.

In: an explanation and its diagnostics. Out: HTML. Open `page.py` first.
"""
