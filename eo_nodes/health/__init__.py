"""Is the segment well: heartbeats, restart budget, modes and limits."""
