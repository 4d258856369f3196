"""One folder or file a tab: a layout, its handlers, its answers.

In: named inputs of a screen. Out: answers by component. Open `compare/screen.py` first.
"""
