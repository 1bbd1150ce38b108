"""Whether an answer is right, for one question of the instruction builder.

Words and numbers exactly; places by the kind of the true one: a box by IoU one half, several boxes
by F1 one half at that IoU, a point by its distance, an area by IoU one half, a time span by half of
the common frames. A caption has no single truth: it is not judged.
"""

import numpy as np

from eo_nodes.lvlm import slis, spatial_metrics
from training.evaluation import metrics, readers

NEAR_POINT = 0.05          # of the picture's side


def values(text, kind):
    """Spatial values of one kind in a text; none of a malformed one."""
    return [v for v in readers.values_of(text) if isinstance(v, kind)]


def boxes_right(said, truth):
    """One box: IoU of the first one said; several: F1."""
    def edges(some):
        return np.array([slis.box_xyxy(b) for b in some]).reshape(-1, 4)

    if not said:
        return False
    if len(truth) == 1:
        first = said[0]
        overlap = spatial_metrics.box_iou(edges([first]), edges(truth))[0, 0]
        return bool(first.image == truth[0].image and overlap >= 0.5)
    counts = metrics.match_boxes(edges(said), edges(truth), 0.5)
    return metrics.F1.value(counts) >= 50


def oriented_right(said, truth, size):
    """As boxes, by corners in pixels."""
    height, width = size

    def corners(some):
        return np.array([slis.oriented_corners(b, (width, height)) * (width, height)
                         for b in some]).reshape(-1, 4, 2)

    if not said:
        return False
    ious = spatial_metrics.oriented_iou(corners(said), corners(truth))
    if len(truth) == 1:
        return bool(ious[0, 0] >= 0.5)
    counts = spatial_metrics.detections(ious, 0.5)
    return 2 * counts.hits >= 0.5 * (2 * counts.hits + counts.extra + counts.missed)


def span_right(said, truth):
    """Half of the frames of either span are common."""
    if not said:
        return False
    (a, b), (c, d) = ((v.t1, v.t2) for v in (said[0], truth[0]))
    common = max(0, min(b, d) - max(a, c) + 1)
    return common / (max(b, d) - min(a, c) + 1) >= 0.5


def area_right(text, mask):
    """mask: (H, W) uint8, 1 inside, 255 without label."""
    found = readers.mask_of(text, mask.shape)
    return metrics.IOU.value(metrics.mask_overlap(found, mask == 1, mask != 255)) >= 50


def is_right(answer, truth, size, mask=None, judged=True):
    """True, False or None (not judged).

    Args:
        answer, truth: text with spatial terms. size: (height, width) of the first image.
        mask: of a ``<seg>`` in the truth.
    """
    if not judged:
        return None
    if mask is not None:
        return area_right(answer, mask)
    for kind, right in ((slis.Box, boxes_right), (slis.Span, span_right)):
        if wanted := values(truth, kind):
            return right(values(answer, kind), wanted)
    if wanted := values(truth, slis.OrientedBox):
        return oriented_right(values(answer, slis.OrientedBox), wanted, size)
    if wanted := values(truth, slis.Polygon):
        height, width = (max(64, v) for v in size)
        return area_right(answer, readers.mask_of(truth, (height, width)).astype(np.uint8))
    if wanted := values(truth, slis.Point):
        said = values(answer, slis.Point)
        ends = [np.array(slis.point_xy(v)) for v in (*said[:1], wanted[0])]
        return bool(said) and float(np.linalg.norm(ends[0] - ends[1])) <= NEAR_POINT
    return readers.plain(answer) == readers.plain(truth)
