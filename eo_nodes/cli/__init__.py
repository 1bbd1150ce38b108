"""The ``spaceverse`` command."""
