"""A dual-branch model as a folder, and back.

In: a model or a folder. Out: a folder or a model. Open `load.py` first; `description.py` is the schema of the JSON.
"""
