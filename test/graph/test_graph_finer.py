"""Finer pixels that the satellite sends by itself, through the real nodes of both segments.

Given: a task, a scene in the frame store, a board that offloads with its relevance by two cut-offs,
and a contact under way on both plans. The regular model is a random tiny one: what it says does
not matter, that its answers are held, refined and counted once does.
"""

import threading
from pathlib import Path

import numpy as np
import pytest
from two_segments import Flight

from eo_nodes.contracts.values import Answer
from eo_nodes.imaging.container import compose, read_container

DOMAIN = 121


@pytest.fixture
def fly(bench_of, free_port, tmp_path):
    made = []

    def make(**parameters):
        given = {"refinements": 1, "unsure_below": 0.0, **parameters}
        made.append(Flight(bench_of, free_port, tmp_path, domain=DOMAIN, **given))
        return made[-1]

    yield make
    for flight in made:
        flight.modem.close()


@pytest.fixture
def pixels():
    return np.random.default_rng(7).integers(0, 256, (1, 64, 64, 3), np.uint8)


def kinds(bench):
    return [product.kind for product in bench.heard["product"]]


def test_an_answer_that_could_change_is_held_for_finer_pixels_and_ends_in_one_final(fly, pixels):
    flight = fly(least_change=0.0)
    request = flight.ask(pixels, [])
    flight.offload(request)
    held = flight.first(flight.ground, "provisional", request_id=request.id)
    assert (held.status, held.origin) == (Answer.PROVISIONAL, "ground")
    assert flight.first(flight.space, "enhance", id=request.id).window == request.window

    final = flight.only_final(request)
    assert (final.status, final.origin, final.reason) == (Answer.FINAL, "ground", "")
    assert final.version == held.version + 1
    assert kinds(flight.ground) == kinds(flight.space) == ["regions", "enhancement"]
    assert final.bytes_sent == sum(p.size_bytes for p in flight.space.heard["product"])
    first, whole = (
        compose(read_container(Path(product.path).read_bytes())).astype(int)
        for product in flight.ground.heard["product"]
    )
    np.testing.assert_array_equal(whole[:, 16:32, 16:32], pixels[:, 16:32, 16:32])
    far, near = (np.abs(seen - pixels).mean() for seen in (first, whole))
    assert near < far / 2, "what follows is finer"
    asked, later = (a for a in flight.ground.heard["answer"])
    is_new = later.text != asked.text or max(later.confidence) > max(asked.confidence)
    assert final.text == (later if is_new else asked).text
    (said,) = [e for e in flight.ground.heard["event"] if e.id == "ANSWER_REFINED"]
    assert said.text == ("answer changed" if later.text != asked.text else "answer confirmed")
    assert not flight.ground.heard["notice"], "nobody asked for a region"


def test_nothing_worth_while_is_said_and_the_answer_is_final_as_it_is(fly, pixels):
    flight = fly(least_change=0.0)
    flight.start_again("preprocess", least_change=1.0)
    request = flight.ask(pixels, [])
    flight.offload(request)
    held = flight.first(flight.ground, "provisional", request_id=request.id)
    final = flight.only_final(request)
    assert (final.text, final.reason) == (held.text, "")
    assert kinds(flight.space) == ["regions", "enhancement"]
    assert kinds(flight.ground) == ["regions"], "an empty file says that nothing follows"
    assert "ANSWER_REFINED" not in [e.id for e in flight.ground.heard["event"]]


def test_an_end_of_the_contact_makes_the_held_answer_final(fly, pixels):
    flight = fly(least_change=0.0)
    flight.start_again("preprocess", refinements=0)
    request = flight.ask(pixels, [], contact_s=6)
    flight.offload(request)
    held = flight.first(flight.ground, "provisional", request_id=request.id)
    final = flight.only_final(request)
    assert (final.status, final.text, final.reason) == (Answer.FINAL, held.text, "")
    assert kinds(flight.space) == ["regions"]


def test_a_contact_that_breaks_off_takes_them_back(fly, pixels):
    flight = fly(least_change=0.0)
    request = flight.ask(pixels, [], contact_s=12)
    flight.modem.say_locked(downlink_bps=12_000)
    flight.offload(request)
    flight.first(flight.space, "downlink_report", kind="enhancement", state="queued")
    flight.modem.say_lost()
    ended = flight.first(flight.space, "downlink_report", kind="enhancement", state="failed")
    assert ended.reason == "the contact is over"
    final = flight.first(flight.ground, "final", request_id=request.id)
    assert (final.status, final.reason) == (Answer.FINAL, "")
    flight.modem.say_locked()
    assert flight.only_final(request) == final
    assert kinds(flight.ground) == ["regions"]
    assert "TRANSFER_FAULT" not in [e.id for e in flight.ground.heard["event"]]


def test_m26_after_a_restart_on_board_it_is_said_that_nothing_follows(fly, pixels):
    flight = fly(least_change=0.0)
    request = flight.ask(pixels, [])
    flight.modem.say_lost()
    flight.offload(request)
    flight.first(flight.space, "downlink_report", kind="regions", state="queued")
    flight.start_again("preprocess")
    flight.modem.say_locked()
    final = flight.only_final(request)
    assert (final.status, final.reason) == (Answer.FINAL, "")
    assert kinds(flight.space) == ["regions", "enhancement"]
    assert kinds(flight.ground) == ["regions"]


@pytest.mark.parametrize(
    ("why", "parameters"),
    [
        ("turned off on both ends", {"refinements": 0, "least_change": 0.0}),
        ("the answer could not change enough", {"least_change": 1.0}),
    ],
)
def test_no_answer_is_held_when(fly, pixels, why, parameters):
    flight = fly(**parameters)
    request = flight.ask(pixels, [])
    flight.offload(request)
    final = flight.only_final(request)
    assert (final.status, final.origin, final.version) == (Answer.FINAL, "ground", 2)
    assert not flight.ground.heard["provisional"], why


def test_a_region_asked_for_goes_before_what_nobody_asked_for(fly, pixels):
    flight = fly(unsure_below=1.0, least_change=0.0)
    request = flight.ask(pixels, [(1200, 1800)])
    flight.offload(request)
    final = flight.only_final(request)
    assert (final.status, final.origin) == (Answer.FINAL, "ground")
    said = [e.id for e in flight.ground.heard["event"]]
    ends = {"REGION_REFINED", "ANSWER_REFINED"}
    assert len([name for name in said if name in ends]) == 1, "whichever pixels came first"
    if flight.ground.heard["notice"] and "REGION_ASKED" in said:
        assert "REGION_REFINED" in said and "ANSWER_REFINED" not in said


def test_a_spare_job_begins_when_no_other_waits(bench_of):
    from eo_nodes.nodes.base import EoNode

    bench, done, gate = bench_of(DOMAIN), [], threading.Event()
    node = bench.start(EoNode, "worker")
    for name, is_spare in (("first", False), ("spare", True), ("second", False)):
        node.compute(name, "1", gate.wait, lambda _, n=name: done.append(n), done.append,
                     is_spare=is_spare)  # fmt: skip
    assert node.pending_jobs == 3
    gate.set()
    bench.until(lambda: len(done) == 3, "three jobs")
    assert done == ["first", "second", "spare"]
