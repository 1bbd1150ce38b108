"""Make test/support importable for this room's tests; the small folder of our family."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))


@pytest.fixture(scope="module")
def model():
    """The folder with random weights; files about other folders have a ``model`` of their own."""
    from unified_asks import TINY

    from eo_nodes.lvlm import load_model

    return load_model(TINY)
