"""One module per task group; each has `make(context)`, which yields the instructions of a set."""
