"""The paper's own tables, what is measured here beside them, and what it takes to measure their rows.

In: results of `evaluate`. Out: rows with the published and the measured cells. Open `tables.py` first.
"""
