"""CFDP class 2 (CCSDS 727.0-B-5): source and destination machines without I/O."""
