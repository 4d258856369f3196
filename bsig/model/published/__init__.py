"""Files of the paper's published code, read as this project's models.

In: a `.pth` file and the name of its architecture. Out: a `DualBranch`. Open `import_file.py` first.
"""
