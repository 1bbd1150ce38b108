"""What the vision stage learns from each set: size, share of the batches, and which targets."""

from dataclasses import dataclass

KINDS = ("aircraft", "vehicle", "ship", "person", "tree", "bicycle")
BOX_KINDS = {
    "aircraft": "aircraft", "airliner": "aircraft", "propeller": "aircraft",
    "trainer": "aircraft", "chartered": "aircraft", "fighter": "aircraft",
    "car": "vehicle", "bus": "vehicle", "truck": "vehicle", "van": "vehicle",
    "minibus": "vehicle", "long-vehicle": "vehicle", "Car": "vehicle", "OtherVehicle": "vehicle",
    "boat": "ship", "ship": "ship", "Person": "person", "Bicycle": "bicycle", "tree": "tree"}
# Kinds that a set labels completely: elsewhere an unlabelled object is no negative.
LABELLED = {
    "hit_uav": ("vehicle", "person", "bicycle"), "trees": ("tree",), "sar_ships": ("ship",),
    "s2_ships": ("ship",), "aerial_video": ("vehicle",),
    "objects_rgb": ("aircraft", "vehicle", "ship")}
AIRPORTS = ("aircraft",)          # the airport pictures of objects_rgb: their cars have no box


@dataclass(frozen=True, slots=True)
class SetPlan:
    """share: of the batches (relative); px: longest side fed at scale 1; batch: pictures.

    group: softmax head of the set's class, if any; zoom: range of the random scale, as a factor
    on px (crops keep the picture's own pixels where it is above 1).
    """

    share: float
    px: int
    batch: int
    group: str = ""
    zoom: tuple[float, float] = (0.85, 1.15)


PLAN = {
    "eurosat_rgb": SetPlan(11, 128, 32, "eurosat"),
    "eurosat_ms": SetPlan(4, 128, 24, "eurosat"),
    "aid_rsicd": SetPlan(24, 224, 16, "aid"),
    "ucm_multilabel": SetPlan(5, 224, 16, "ucm"),
    "mstar": SetPlan(7, 160, 24, "mstar", (0.95, 1.05)),
    "opensarship": SetPlan(1, 128, 24, "opensarship", (0.95, 1.05)),
    "objects_rgb": SetPlan(12, 256, 12, zoom=(0.8, 2.5)),
    "hit_uav": SetPlan(12, 256, 12, zoom=(0.6, 2.2)),
    "trees": SetPlan(8, 256, 12, zoom=(0.7, 2.2)),
    "sar_ships": SetPlan(2, 256, 12, zoom=(0.7, 1.6)),
    "s2_ships": SetPlan(4, 256, 12, zoom=(0.8, 2.0)),
    "aerial_video": SetPlan(3, 256, 12, zoom=(0.6, 1.5)),
    "flood_s1": SetPlan(4, 128, 24),
    "change_pairs": SetPlan(6, 128, 12),
    "s1s2_pairs": SetPlan(3, 128, 24),
    "indian_pines": SetPlan(1, 96, 4),
}
# The procedural world (`made`): in a training only where it is asked for, so not in PLAN.
WORLD = SetPlan(6, 256, 12, zoom=(0.7, 1.8))
DENSE = tuple(LABELLED)
CALIBRATED = ("flood_s1",)   # their values mean something by themselves: no change of gain
AS_THERMAL = ("objects_rgb", "aerial_video")   # a part of their batches goes as one thermal band:
GREY, INVERTED = 0.3, 0.35    # few thermal pictures show vehicles; shares of batches, of negatives
SMALLER = 0.75               # of px for class sets, in the first part of a progressive training
HELD_BANDS = 0.35         # chance that a multispectral batch goes with a random subset of bands
