"""The Models screen: a dual-branch model of any timm classifier, to look at at once and to fine-tune next.

In: the fields of a `ModelRequest`. Out: a model that every screen offers, and its facts. Open `screen.py` first.
"""
