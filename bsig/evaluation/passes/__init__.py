"""One pass over the pictures for each kind of measurement. What is done is kept on disk in parts.

In: pictures and a model. Out: what each picture adds to each metric. Open `measure.py` first;
`work.py` says what it has to measure.
"""
