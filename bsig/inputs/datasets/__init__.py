"""Labelled pictures from outside, in four layouts, become the same samples.

In: a folder of class folders, an `index.csv`, WSOL metadata or `torchvision:NAME`. Out: `LabelledImages` of
`samples.py`. `read.py` reads a split and is the file to open first; `splits.py` says which pictures are trained on,
held out and measured; `classes.py` matches the data's classes to a model's.
"""
