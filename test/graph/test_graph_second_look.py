"""A region asked for by the ground, through the real nodes of both segments and a link.

Given: a task, a scene in the frame store, and a board that offloads with its relevance; the
confidence of the regular model is always below the threshold set here.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from two_segments import Flight

from eo_nodes.contracts.values import Answer
from eo_nodes.imaging.container import compose, read_container

DOMAIN = 120


@pytest.fixture
def fly(bench_of, free_port, tmp_path):
    made = []

    def make(**parameters):
        made.append(Flight(bench_of, free_port, tmp_path, domain=DOMAIN, **parameters))
        return made[-1]

    yield make
    for flight in made:
        flight.modem.close()


@pytest.fixture
def pixels():
    return np.random.default_rng(7).integers(0, 256, (1, 64, 64, 3), np.uint8)


LATER = [(1200, 1800)]


def test_unsure_answer_waits_for_the_region_and_the_one_final_has_seen_all(fly, pixels):
    flight = fly()
    request = flight.ask(pixels, LATER)
    flight.offload(request)

    provisional = flight.first(flight.ground, "answer", request_id=request.id)
    assert provisional.status == Answer.PROVISIONAL
    wish = flight.first(flight.ground, "notice", request_id=request.id)
    assert (wish.kind, wish.window) == ("region", (32, 16, 16, 16)), "the cell that came reduced"
    refine = flight.first(flight.space, "refine", id=request.id)
    assert refine.window == wish.window

    final = flight.only_final(request)
    assert (final.status, final.origin, final.reason) == (Answer.FINAL, "ground", "")
    assert [s.name for s in final.steps][-3:] == ["region_asked", "region_received", "final"]
    kinds = [product.kind for product in flight.ground.heard["product"]]
    assert kinds == ["regions", "refinement"]
    sent = flight.space.heard["product"]
    assert [p.kind for p in sent] == kinds
    assert final.bytes_sent == sum(p.size_bytes for p in sent)
    first, whole = (
        compose(read_container(Path(product.path).read_bytes()))
        for product in flight.ground.heard["product"]
    )
    np.testing.assert_array_equal(whole[:, 16:32, 16:48], pixels[:, 16:32, 16:48])
    np.testing.assert_array_equal(first[:, 16:32, 16:32], pixels[:, 16:32, 16:32])
    assert (first[:, 16:32, 32:48] != pixels[:, 16:32, 32:48]).any()
    ids = [event.id for event in flight.ground.heard["event"]]
    assert ids.count("REGION_ASKED") == ids.count("REGION_REFINED") == 1
    assert "INPUT_FAILED" not in ids and "INTERNAL_ERROR" not in ids


def test_region_of_an_evicted_frame_is_refused_and_the_provisional_answer_is_final(fly, pixels):
    flight = fly()
    request = flight.ask(pixels, LATER)
    flight.offload(request)
    flight.until(lambda: flight.space.heard["product"], "the product")
    flight.frame.path.unlink()

    final = flight.only_final(request)
    provisional = flight.first(flight.ground, "answer", request_id=request.id)
    assert (final.status, final.text) == (Answer.FINAL, provisional.text)
    assert final.reason == "without the region asked for: it is not on board any more"
    for bench in (flight.space, flight.ground):
        assert "REGION_REFUSED" in [event.id for event in bench.heard["event"]]
    assert [product.kind for product in flight.ground.heard["product"]] == ["regions"]


@pytest.mark.parametrize(
    ("why", "plan_s", "parameters"),
    [
        ("no later contact", [], {}),
        ("it begins after the deadline", [(4000, 4600)], {}),
        ("sure enough", LATER, {"unsure_below": 0.0}),
        ("what came reduced is not needed", LATER, {"needed_at": 0.9}),
    ],
)
def test_nothing_is_asked_for_when(fly, pixels, why, plan_s, parameters):
    flight = fly(**parameters)
    request = flight.ask(pixels, plan_s)
    flight.offload(request)
    final = flight.only_final(request)
    assert (final.status, final.origin) == (Answer.FINAL, "ground")
    assert not flight.ground.heard["notice"], why
    assert not flight.space.heard["refine"]
    (answer,) = flight.ground.heard["answer"]
    assert answer.status == Answer.FINAL


def test_m14_region_asked_for_twice_is_sent_once(fly, pixels):
    """The station states its wish again after a kill: the board recognises it."""
    flight = fly()
    request = flight.ask(pixels, LATER)
    flight.offload(request)
    wish = flight.first(flight.space, "notice", kind="region")
    flight.space.say("notice", dataclasses.replace(wish, stamp_ns=time.time_ns()))
    flight.only_final(request)
    sent = [p for p in flight.space.heard["product"] if p.kind == "refinement"]
    assert len(sent) == len(flight.space.heard["refine"]) == 1
