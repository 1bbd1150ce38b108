"""Routing heads: what they are trained on, how, and how good they are. Nothing here flies."""
