"""Signed maps are drawn so that zero stays neutral and one scale serves all.

In: maps and crops. Out: pictures. Open `comparison.py` first; `heatmaps.py` colours one map.
"""
