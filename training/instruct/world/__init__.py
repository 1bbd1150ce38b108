"""A procedural world: land cover and objects from a seed, seen by any sensor at any time.

For what no labelled set carries: oriented boxes, change captions, seasons, motion, several sensors
over one place, any list of bands. Physically reasoned, not measured: never reported as real data.
"""
