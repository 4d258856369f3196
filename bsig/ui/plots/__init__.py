"""Numbers become plotly figures of one look.

In: numbers. Out: figures. Open `look.py` first: it holds the colours.
"""
