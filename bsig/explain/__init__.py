"""A picture becomes features, features become signed maps, maps become pictures.

In: a model and a picture. Out: an `Explanation` with a map of each branch, in logits. Open `explainer.py` first.
`cams.py` holds the equations and `methods.py` the choice between them; `explanation.py` is what comes out, and
`wording.py` puts its numbers into words. Then come `diagnostics` (numbers about a map), `drawing` and `report`.
"""
