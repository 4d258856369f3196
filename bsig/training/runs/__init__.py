"""Fine-tunes that the page asks for, each in a folder, made one after another in another process.

In: a request. Out: a run folder with its state, its events and its checkpoint. Open `run.py` and
`folder.py` first, then `queue.py`.
"""
