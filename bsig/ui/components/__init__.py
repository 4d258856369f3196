"""What every screen is built from: inputs, HTML, examples, downloads, the look.

In: words and numbers. Out: components and HTML. Open `inputs.py` and `html.py` first.
"""
