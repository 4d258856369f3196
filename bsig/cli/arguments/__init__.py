"""The arguments of the commands whose running needs torch from its first line.

Nothing here imports torch, timm or NumPy: help and wrong usage are answered at once (`tests/cli/test_main.py`).
"""
