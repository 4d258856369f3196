"""`python -m bsig bench`: speed and memory on this machine, beside a baseline measured in the same run.

command.py     which parts are measured, and where the figures go
rounds.py      acts taken in turns, medians, what machine this is
compare.py     two branches, one picture: against a bare forward pass, grad-cam and torch-cam
start.py       a command in a fresh interpreter, and its imports by package
batches.py     many pictures against the best rate of the bare encoder
page.py        the running app over HTTP: time, memory, many visitors (load.py)
learning.py    extraction, epochs, and localization at all thresholds
scale.py       cost against classes, grid, picture size, pictures in a run
visits.py      an hour of visitors, simulated from measured answer times
imagenet.py    ImageNet-1k worked out from measured rates
served.py      the running app and a visitor who asks it
report.py      results -> tables and plots
"""
