from __future__ import annotations

from pathlib import Path

import pytest

from eo_nodes.orbit import Catalogue, Mission, load_catalogue, load_mission

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def mission() -> Mission:
    return load_mission(ROOT / "config" / "mission")


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    found, errors = load_catalogue(ROOT / "config" / "mission" / "elements")
    assert not errors
    return found
