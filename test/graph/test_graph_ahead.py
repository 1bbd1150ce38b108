"""A complete answer goes ahead of its pixels, through the real nodes of both segments and a link.

Given: a request that the board answers and offloads out of contact. The link of the contact that
follows carries 10 kB a second, so that what comes first is seen to come first.
"""

import numpy as np
import pytest
from two_segments import Flight

from eo_nodes.contracts.values import Answer

DOMAIN = 122
SLOW_BPS = 80_000
ALL = np.ones((4, 4), np.float32)


@pytest.fixture
def flight(bench_of, free_port, tmp_path):
    made = Flight(bench_of, free_port, tmp_path, domain=DOMAIN, unsure_below=0.0)
    yield made
    made.modem.close()


@pytest.fixture
def request_(flight):
    """Asked in one contact, answered and offloaded after it."""
    pixels = np.random.default_rng(7).integers(0, 256, (1, 64, 64, 3), np.uint8)
    request = flight.ask(pixels, [(1200, 1800)])
    flight.modem.say_lost()
    flight.first(flight.space, "event", id="LOS")
    flight.offload(request, stage=3, relevance=ALL)
    return request


def wait_queued(flight, *kinds):
    for kind in kinds:
        flight.first(flight.space, "downlink_report", kind=kind, state="queued")


def test_the_provisional_answer_is_on_the_ground_before_the_pixels(flight, request_):
    wait_queued(flight, "answer", "regions")
    sent, *repeats = flight.space.heard["provisional"]      # until the queue says that it has it
    assert all(answer.id == sent.id for answer in repeats)
    (product,) = flight.space.heard["product"]
    assert not flight.ground.heard["provisional"], "out of contact"

    flight.modem.say_locked(SLOW_BPS)
    came = flight.first(flight.ground, "provisional", request_id=request_.id)
    assert not flight.ground.heard["product"] and not flight.ground.heard["final"]
    assert (came.id, came.status, came.text) == (sent.id, Answer.PROVISIONAL, "board says")
    assert (came.origin, came.version, came.asker) == ("onboard", 1, "")
    assert 0 < came.bytes_sent < 1_000 < product.size_bytes

    final = flight.only_final(request_)
    assert (final.status, final.origin, final.version) == (Answer.FINAL, "ground", 2)
    assert final.bytes_sent == came.bytes_sent + product.size_bytes
    dated = {step.name: step.stamp_ns for step in final.steps}
    assert dated["decided"] < dated["provisional"] < dated["received"] <= dated["final"]
    assert [answer.id for answer in flight.ground.heard["provisional"]] == [came.id]
    assert not flight.space.heard["final"]
    for bench in (flight.space, flight.ground):
        ids = {event.id for event in bench.heard["event"]}
        assert not ids & {"INPUT_FAILED", "INTERNAL_ERROR", "BAD_MESSAGE"}


@pytest.mark.parametrize("name", ["tasking", "downlink_scheduler"])
def test_m26_a_restart_on_board_out_of_contact_loses_and_doubles_nothing(flight, request_, name):
    wait_queued(flight, "answer", "regions")
    flight.stop(name)
    flight.start(name)

    flight.modem.say_locked(SLOW_BPS)
    came = flight.first(flight.ground, "provisional", request_id=request_.id)
    assert not flight.ground.heard["product"]
    final = flight.only_final(request_)
    assert (final.origin, final.version) == ("ground", 2)
    assert [answer.id for answer in flight.ground.heard["provisional"]] == [came.id]


def test_m26_an_answer_given_out_while_the_queue_was_down_goes_ahead_all_the_same(
    flight, request_
):
    flight.first(flight.space, "provisional", request_id=request_.id)
    flight.stop("downlink_scheduler")
    flight.stop("tasking")
    flight.start("downlink_scheduler")
    flight.start("tasking")
    wait_queued(flight, "answer")
    # If the queue went down before it had the pixels, the request comes again.
    for again in flight.space.heard["request"][1:]:
        flight.offload(again, stage=3, relevance=ALL)

    flight.modem.say_locked(SLOW_BPS)
    came = flight.first(flight.ground, "provisional", request_id=request_.id)
    assert came.text == "board says"
    assert len(flight.only_final(request_).text) > 0


def test_m26_a_restart_on_the_ground_says_it_again_under_its_id(flight, request_):
    wait_queued(flight, "answer", "regions")
    flight.modem.say_locked(SLOW_BPS)
    came = flight.first(flight.ground, "provisional", request_id=request_.id)
    flight.stop("ground_station")
    flight.start("ground_station")
    flight.modem.say_locked(SLOW_BPS)

    flight.until(lambda: len(flight.ground.heard["provisional"]) == 2, "the repeat")
    again = flight.ground.heard["provisional"][1]
    assert (again.id, again.text, again.steps) == (came.id, came.text, came.steps)
    assert flight.only_final(request_).version == 2
