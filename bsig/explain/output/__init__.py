"""Explanations become files that others can read and check.

In: explanations. Out: one folder each (`folder.py`), a contact sheet and a table of many (`table.py`), and a manifest
from which anyone can compute the maps again and compare (`manifest.py`). Open `folder.py` first.
"""
