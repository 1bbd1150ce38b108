"""Flight and ground software that answers questions about what a satellite sees."""
