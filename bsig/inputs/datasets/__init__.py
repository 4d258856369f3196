"""Four layouts of labelled pictures become the same samples.

In: a folder, an `index.csv`, WSOL metadata or `torchvision:NAME`. Out: `LabelledImages`. Open `samples.py` first.
"""
