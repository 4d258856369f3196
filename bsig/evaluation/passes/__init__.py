"""One pass over the pictures for each kind of measurement; parts are kept on disk.

In: pictures and a model. Out: what each picture adds to each metric. Open `work.py` first.
"""
