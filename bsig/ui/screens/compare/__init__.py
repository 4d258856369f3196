"""The Compare screen: both branches' maps of one picture and class, side by side.

In: `CompareInputs`, the question and its drawing. Out: pictures, sentences and files. Open `screen.py` first: it
connects the components of `layout.py` to the answers of `answers.py`.
"""
