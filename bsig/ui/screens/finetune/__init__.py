"""The Fine-tune screen: a form, a queue of runs, and the progress of a run.

In: a form, with a zip or a folder. Out: a run in the queue and what it has measured so far. Open `screen.py` first.
"""
