"""Stand-ins for nodes, to test supervision without the real ones."""
