"""Everything between the page and the network: limits, visitors, the log, gradio's private side.

In: requests. Out: answers or refusals. Open `guard.py` first.
"""
