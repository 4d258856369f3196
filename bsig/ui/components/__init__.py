"""The parts that all screens share: inputs, HTML, examples, downloads, the theme.

In: words and numbers. Out: components and HTML. Open `inputs.py` and `html.py` first.
"""
