"""The version of the software, which cards, summaries and reports tell."""

__version__ = "0.1.0"
