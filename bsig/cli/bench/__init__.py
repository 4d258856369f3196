"""`python -m bsig bench`: speed and memory on this machine, beside a baseline measured in the same run.

rounds.py      acts taken in turns, medians, what machine this is
compare.py     two branches, one picture: against a bare forward pass, grad-cam and torch-cam
page.py        the running app over HTTP;  load.py: many visitors at once
learning.py    extraction, epochs, and localization at all thresholds
scale.py       cost against classes, grid, picture size, pictures in a run;  memory.py
report.py      results -> tables and plots
"""
