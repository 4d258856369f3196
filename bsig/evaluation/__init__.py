"""A data set becomes maps, maps become metrics, metrics become a table with intervals.

In: a model, labelled pictures, an `EvaluationConfig`. Out: results ready for JSON. Open `evaluate.py` first.
"""
