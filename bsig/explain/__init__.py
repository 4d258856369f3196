"""A picture becomes features, features become signed maps, maps become pictures.

In: a model and a picture. Out: an `Explanation` with a map of each branch, in logits. Open `explainer.py` first;
`cams.py` holds the equations, `methods.py` the choice between them.
"""
