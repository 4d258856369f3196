"""A data set becomes features, features train a sigmoid branch, the branch becomes a checkpoint.

In: labelled pictures and a `FinetuneConfig`. Out: a checkpoint folder and a history. Open `finetune.py` first.
"""
