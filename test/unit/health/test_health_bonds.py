"""Bonds to nodes, and the note about disabled ones."""

from __future__ import annotations

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.health.bonds import Bonds, Lost
from eo_nodes.health.disabled import DisabledNodes, read_note
from eo_nodes.store.ledger_store import LedgerStore

S = 1_000_000_000


def _listen(bonds: Bonds[str], start_s: int, end_s: int, *beating: str) -> list[Lost[str]]:
    lost = []
    for second in range(start_s, end_s):
        for node in beating:
            bonds.on_beat(node, 1)
        lost += bonds.check(second * S)
    return lost


def test_m35_a_node_that_beat_and_fell_silent_is_lost_once() -> None:
    bonds = Bonds({"model": 5 * S, "link": 5 * S}, 0)
    assert _listen(bonds, 1, 4, "model", "link") == []
    assert _listen(bonds, 4, 30, "link") == [Lost("model", 5 * S)]


def test_m35_each_node_has_its_own_limit() -> None:
    bonds = Bonds({"model": 60 * S, "link": 5 * S}, 0)
    _listen(bonds, 1, 2, "model", "link")
    assert [lost.node for lost in _listen(bonds, 2, 30)] == ["link"]
    assert [lost.node for lost in _listen(bonds, 30, 90)] == ["model"]


def test_m35_a_node_that_never_beat_or_is_nobodys_is_not_watched() -> None:
    bonds = Bonds({"model": 5 * S}, 0)
    assert _listen(bonds, 1, 3, "stranger") == []
    assert _listen(bonds, 3, 60) == []


def test_m35_beats_of_a_life_given_up_count_for_nothing_those_of_the_next_do() -> None:
    bonds = Bonds({"model": 5 * S}, 0)
    _listen(bonds, 1, 2, "model")
    assert len(_listen(bonds, 2, 10)) == 1
    assert _listen(bonds, 10, 12, "model") == []  # queued before the kill
    assert _listen(bonds, 12, 60) == []
    bonds.on_beat("model", 2)
    assert len(_listen(bonds, 60, 70)) == 1


def test_m35_a_pause_of_the_listener_is_no_silence() -> None:
    bonds = Bonds({"model": 5 * S}, 0)
    _listen(bonds, 1, 3, "model")
    assert bonds.check(1000 * S) == []
    assert _listen(bonds, 1001, 1003) == []
    assert len(_listen(bonds, 1003, 1004)) == 1


def test_m18_disabled_nodes_are_new_once_also_after_a_reboot() -> None:
    store = LedgerStore(":memory:")
    nodes = DisabledNodes(store)
    assert nodes.new(["/sat1/a", "/sat1/b"]) == ["/sat1/a", "/sat1/b"]
    nodes.keep(["/sat1/a", "/sat1/b"])
    again = DisabledNodes(store)
    assert again.new(["/sat1/b", "/sat1/c"]) == ["/sat1/c"]
    again.keep(["/sat1/b"])  # a was enabled by command
    assert DisabledNodes(store).new(["/sat1/a"]) == ["/sat1/a"]


def test_the_note_of_the_supervisor_is_read() -> None:
    assert read_note('{"nodes": ["/sat1/tasking"]}\n') == ("/sat1/tasking",)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": 1}', '{"nodes": [1]}', "[" * 5000])
def test_a_note_that_is_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="disabled nodes"):
        read_note(text)
