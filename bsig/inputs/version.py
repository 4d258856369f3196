"""The version of this project, said once: pyproject.toml, `bsig.__version__`, pages and reports read it here."""

__version__ = "0.1.0"
