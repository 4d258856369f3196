"""The Logit shift screen: the same classifier, the same probabilities, another heatmap, by the visitor's own hand.

In: the picture and class of Compare, and `ShiftInputs`. Out: maps, tables and curves before and after the shift, which
`bsig.explain.diagnostics.shift_request` solves. Open `screen.py` first.
"""
