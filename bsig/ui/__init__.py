"""The web app: one file a tab. The only place that imports gradio."""

from bsig.ui.page import build_demo, launch_arguments

__all__ = ["build_demo", "launch_arguments"]
