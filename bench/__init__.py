"""Measurements of the running system; ``python -m bench`` prints each figure beside its limit."""
