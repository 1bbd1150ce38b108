"""Search, get and export of the archive."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import Answer, Event, Product, Scene, Step
from eo_nodes.store.archive_store import ArchiveStore, bounding_box
from eo_nodes.store.database import Database

SQUARE = (8.0, 53.0, 9.0, 53.0, 9.0, 54.0, 8.0, 54.0)
DATE_LINE = (179.0, -18.0, -179.0, -18.0, -179.0, -16.0, 179.0, -16.0)


def _answer(name: str, scene: str, prompt: str, text: str, capture_ns: int) -> Answer:
    return Answer(
        id=name,
        request_id=f"req-{name}",
        scene_id=scene,
        status=Answer.FINAL,
        prompt=prompt,
        text=text,
        origin="ground",
        steps=(Step(name="captured", stamp_ns=capture_ns),),
    )


@pytest.fixture
def archive(tmp_path: Path) -> ArchiveStore:
    store = ArchiveStore(Database(":memory:"), tmp_path / "exports")
    store.record_scene(Scene(id="bremen", modality="optical", footprint=SQUARE))
    store.record_scene(Scene(id="fiji", modality="sar", footprint=DATE_LINE))
    store.record_answer(_answer("a1", "bremen", "How many ships?", "three ships", 100))
    store.record_answer(_answer("a2", "fiji", "Is there a reef?", "yes", 200))
    store.record_answer(_answer("a3", "unknown", "Ships at sea?", "no", 300))
    return store


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["a3", "a2", "a1"]),
        ({"text": "ships"}, ["a3", "a1"]),
        ({"text": "SHIPS three"}, ["a1"]),
        ({"text": "submarines"}, []),
        ({"modality": "sar"}, ["a2"]),
        ({"area": (8.5, 53.5, 20.0, 53.5, 20.0, 60.0)}, ["a1"]),
        ({"area": (-179.5, -17.0, -170.0, -17.0, -170.0, -10.0)}, ["a2"]),
        ({"area": (179.2, -17.0, 179.8, -17.0, 179.8, -16.5)}, ["a2"]),
        ({"area": (0.0, 0.0, 1.0, 0.0, 1.0, 1.0)}, []),
        ({"from_ns": 200}, ["a3", "a2"]),
        ({"to_ns": 200}, ["a2", "a1"]),
        ({"text": "ships", "area": SQUARE, "modality": "optical", "to_ns": 150}, ["a1"]),
        ({"limit": 1}, ["a3"]),
    ],
)
def test_search_filters_and_gives_the_newest_first(
    archive: ArchiveStore, query: dict[str, object], found: list[str]
) -> None:
    assert archive.search(**query) == found  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ['"', "a OR b", "ships*", "NEAR(", "prompt:ships", "-", "'; --"])
def test_untrusted_words_are_no_query_language(archive: ArchiveStore, text: str) -> None:
    assert set(archive.search(text=text)) <= {"a1", "a3"}


def test_a_provisional_version_is_kept_but_not_found(archive: ArchiveStore) -> None:
    given = _answer("a4", "bremen", "ships?", "maybe", 400)
    archive.record_answer(replace(given, status=Answer.PROVISIONAL))
    assert archive.get("a4") is not None
    assert "a4" not in archive.search()


def test_a_repeat_replaces_itself(archive: ArchiveStore) -> None:
    archive.record_answer(_answer("a1", "bremen", "How many ships?", "four boats", 100))
    assert archive.search(text="three") == []
    assert archive.search(text="boats") == ["a1"]


def test_text_that_is_no_unicode_is_archived_all_the_same(archive: ArchiveStore) -> None:
    archive.record_answer(_answer("a5", "bremen", "ships\ud800?", "\udfff boats", 500))
    assert archive.search(text="boats \ud800") in ([], ["a5"])
    assert archive.search(text="boats") == ["a5"]
    assert archive.export(["a5"], "geojson", "a5.json") == 1


def test_the_last_product_of_a_request_is_found(archive: ArchiveStore) -> None:
    for version in (1, 2):
        product = Product(id=f"prd-{version}", request_id="req-a1", kind="regions", path="/p")
        archive.record_product(product)
    found = archive.product_of("req-a1")
    assert found is not None and found.id == "prd-2"
    assert archive.product_of("req-a2") is None


def test_m21_events_are_a_bounded_ring(tmp_path: Path) -> None:
    archive = ArchiveStore(Database(":memory:"), tmp_path, events=20)
    for n in range(50):
        archive.record_event(Event(id="AOS", source="link", stamp_ns=n, text=str(n)))
    kept = [event.stamp_ns for event in archive.events(1000)]
    assert kept[0] == 49 and 20 <= len(kept) <= 23


def test_export_geojson_has_a_closed_ring_and_all_fields(
    archive: ArchiveStore, tmp_path: Path
) -> None:
    assert archive.export(["a1", "gone", "a3"], "geojson", "day/ships.geojson") == 2
    whole = json.loads((tmp_path / "exports/day/ships.geojson").read_text())
    first, second = whole["features"]
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1] == [8.0, 53.0] and len(ring) == 5
    assert first["properties"]["text"] == "three ships"
    assert second["geometry"] is None


def test_export_jsonl_is_one_answer_a_line(archive: ArchiveStore, tmp_path: Path) -> None:
    archive.export(["a1", "a2"], "jsonl", "out.jsonl")
    lines = (tmp_path / "exports/out.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a1", "a2"]


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "/tmp/x", "a/../../x", "a\0b", "link/x"])
def test_m09_an_export_never_leaves_its_folder(
    archive: ArchiveStore, tmp_path: Path, path: str
) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "link").symlink_to(tmp_path)
    with pytest.raises(StorageError, match="export path"):
        archive.export(["a1"], "jsonl", path)


def test_an_unknown_format_and_a_bad_area_are_refused(archive: ArchiveStore) -> None:
    with pytest.raises(StorageError, match="none of geojson, jsonl"):
        archive.export([], "xml", "x")
    with pytest.raises(StorageError, match="off the globe"):
        archive.search(area=(0.0, 0.0, 1.0, 95.0, 2.0, 0.0))


def test_a_box_over_the_date_line_is_narrow() -> None:
    assert bounding_box(DATE_LINE) == (179.0, -18.0, 181.0, -16.0)
