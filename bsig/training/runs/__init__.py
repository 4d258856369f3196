"""The fine-tunes of the page. Each has a folder, and another process trains them one after another.

In: a request. Out: a run folder with its state, its events and its checkpoint. Open `run.py` and
`folder.py` first, then `queue.py` and `worker.py`.
"""
