"""Orbit room: element sets, propagation, passes, geometry, link budget and the contact plan.

No ROS, no clock, no network: times come in as UTC ns since 1970, files as paths or text.
"""

from .elements import (
    Catalogue,
    ElementFile,
    ElementSet,
    Selection,
    load_catalogue,
    parse_omm,
    parse_tle,
    read_file,
)
from .errors import ElementsError, NoElementsError, OrbitError, OutOfTableError, PropagationError
from .fleet import others_of, plan_fleet
from .geometry import Look, Subpoint, ground_track, is_sunlit, look, subpoint
from .link_budget import LinkBudget, downlink_budget, free_space_loss_db, uplink_budget
from .look_table import LookPoint, LookTable
from .mission import Mission, Radio, Satellite, Station, load_mission
from .passes import Pass, find_passes, find_passes_of_all
from .plan import make_plan, plan_contacts
from .propagation import Orbit

__all__ = [
    "Catalogue",
    "ElementFile",
    "ElementSet",
    "ElementsError",
    "LinkBudget",
    "Look",
    "LookPoint",
    "LookTable",
    "Mission",
    "NoElementsError",
    "Orbit",
    "OrbitError",
    "OutOfTableError",
    "Pass",
    "PropagationError",
    "Radio",
    "Satellite",
    "Selection",
    "Station",
    "Subpoint",
    "downlink_budget",
    "find_passes",
    "find_passes_of_all",
    "free_space_loss_db",
    "ground_track",
    "is_sunlit",
    "load_catalogue",
    "load_mission",
    "look",
    "make_plan",
    "others_of",
    "parse_omm",
    "parse_tle",
    "plan_contacts",
    "plan_fleet",
    "read_file",
    "subpoint",
    "uplink_budget",
]
