"""How many tokens: by default in flight, in training of the routing heads, and so in their files.

A head that has learnt from longer answers, or from a later second tap, would score what never
comes. The parameters of the nodes may say otherwise for a mission; its heads are then trained anew.
"""

from __future__ import annotations

COMPACT_TOKENS, REGULAR_TOKENS = 32, 40
"""Longest answer of either model."""
TAP2_TOKENS = 3
"""Decoded before the second tap."""
