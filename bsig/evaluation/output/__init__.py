"""Results as text, CSV, Markdown and the JSON that ships with a checkpoint.

In: results of `evaluate`. Out: text for people. Open `text.py` first.
"""
