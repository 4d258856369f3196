"""The Logit shift screen: the visitor moves a heatmap while the classifier and its probabilities stay the same.

In: the picture and class of Compare, and `ShiftInputs`. Out: maps, tables and curves before and after the shift, which
`bsig.explain.diagnostics.shift_request` solves. Open `screen.py` first.
"""
