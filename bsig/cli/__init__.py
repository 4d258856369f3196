"""Arguments in, the library's answers out: one file a command.

Open `main.py` first.
"""
