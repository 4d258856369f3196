"""Signed maps become pictures. Zero stays neutral, and all maps share one scale.

In: maps and crops. Out: pictures. Open `comparison.py` first; `heatmaps.py` colours one map.
"""
