"""Flight and ground software that answers questions about what a satellite sees."""

__version__ = "0.1.0"
