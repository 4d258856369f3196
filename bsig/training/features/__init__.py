"""The frozen encoder runs once a picture, and its features are kept.

In: pictures and an encoder. Out: pooled features, in memory or on disk. Open `pooled.py` first, then `cache.py`.
"""
