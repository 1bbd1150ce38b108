"""The trace-driven study: replay routing policies over real orbits, from recorded outcomes."""
