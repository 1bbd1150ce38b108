"""Simulation around the flight and ground nodes: clock, channel, scenarios, demo."""
