"""SLIS, the spatial language inside answers and prompts. Grammar and examples: docs/slis.md."""

from eo_nodes.lvlm.slis.automaton import Automaton, State
from eo_nodes.lvlm.slis.budget import mask_within, simplified, token_cost
from eo_nodes.lvlm.slis.geometry import (
    bounds,
    box_from,
    box_xyxy,
    clip_convex,
    coverage,
    fill,
    from_bin,
    mask_cells,
    mask_from,
    oriented_corners,
    oriented_from,
    outlines,
    point_from,
    point_xy,
    polygon_from,
    polygon_xy,
    resize_mask,
    to_bin,
    to_upper_bin,
)
from eo_nodes.lvlm.slis.text import fill_segs, parse, serialise, write_value
from eo_nodes.lvlm.slis.values import (
    BINS,
    KINDS,
    MAX_IMAGES,
    MAX_VERTICES,
    Box,
    Mask,
    OrientedBox,
    Point,
    Polygon,
    Seg,
    Segment,
    SlisError,
    SlisSyntaxError,
    SlisValueError,
    Span,
    Value,
    make,
)
from eo_nodes.lvlm.slis.vocabulary import (
    SPATIAL_TOKENS,
    SlisVocabulary,
    SpatialIds,
    TextCodec,
    TokenizerCodec,
)

__all__ = [
    "BINS", "KINDS", "MAX_IMAGES", "MAX_VERTICES", "SPATIAL_TOKENS",
    "Automaton", "Box", "Mask", "OrientedBox", "Point", "Polygon", "Seg", "Segment", "SlisError",
    "SlisSyntaxError", "SlisValueError", "SlisVocabulary", "Span", "SpatialIds", "State",
    "TextCodec", "TokenizerCodec", "Value",
    "bounds", "box_from", "box_xyxy", "clip_convex", "coverage", "fill", "fill_segs", "from_bin",
    "make", "mask_cells", "mask_from", "mask_within", "oriented_corners", "oriented_from",
    "outlines", "parse", "point_from", "point_xy", "polygon_from", "polygon_xy", "resize_mask",
    "serialise", "simplified", "to_bin", "to_upper_bin", "token_cost", "write_value",
]
