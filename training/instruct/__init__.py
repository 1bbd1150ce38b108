"""Instruction data: labelled sets and a procedural world as prompts with answers."""
