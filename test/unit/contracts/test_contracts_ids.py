"""Ids sort by time and are never used twice, also when the clock is set back."""

from eo_nodes.contracts.ids import IdFactory, answer_id, product_id, refusal_id, request_id

T0_NS = 1_787_900_000_000_000_000


def test_m29_text_order_is_time_order():
    factory = IdFactory("camera", 7)
    times = [T0_NS + step * 1_000_000 for step in (0, 1, 9, 10, 255, 256, 10**9)]
    made = [factory.new("scn", now_ns) for now_ns in times]
    assert made == sorted(made)


def test_m29_clock_set_back_repeats_no_id():
    factory = IdFactory("camera", 7)
    made = [factory.new("scn", now_ns) for now_ns in [T0_NS, T0_NS - 10**15, T0_NS, -5, 0] * 100]
    assert len(set(made)) == 500


def test_m29_next_boot_repeats_no_id_at_the_same_time():
    first, second = IdFactory("camera", 1), IdFactory("camera", 2)
    assert not {first.new("scn", T0_NS) for _ in range(50)} & {
        second.new("scn", T0_NS) for _ in range(50)
    }


def test_two_origins_share_no_id_whatever_their_names():
    # "a-1" and "a_1" would fall together if the hyphen stayed; counts keep them apart in a node,
    # nothing would between nodes, so names of nodes have no hyphen.
    first, second = IdFactory("camera", 1), IdFactory("console", 1)
    assert first.new("scn", T0_NS) != second.new("scn", T0_NS)


def test_id_of_known_bytes():
    assert IdFactory("sat-cam", 10).new("scn", 0x123456789AB * 1_000_000) == (
        "scn-123456789ab-sat_cam-000a-00001"
    )


def test_same_pair_gives_the_same_request_everywhere():
    assert request_id("task-1", "scn-1", T0_NS) == request_id("task-1", "scn-1", T0_NS)
    assert request_id("task-1", "scn-1", T0_NS) != request_id("task-1", "scn-2", T0_NS)
    # Neighbouring parts cannot be moved across: "ab"+"c" and "a"+"bc" differ.
    assert request_id("ab", "c", T0_NS) != request_id("a", "bc", T0_NS)


def test_requests_sort_by_capture():
    assert request_id("z", "z", T0_NS) < request_id("a", "a", T0_NS + 1_000_000)


def test_derived_ids_tell_kind_origin_and_version_apart():
    request = request_id("task-1", "scn-1", T0_NS)
    made = {
        product_id(request, "regions"),
        product_id(request, "answer"),
        product_id(request, "regions", 2),
        answer_id(request, "onboard", 1),
        answer_id(request, "onboard", 2),
        answer_id(request, "ground", 1),
        refusal_id("task-1"),
        refusal_id("task-2"),
    }
    assert len(made) == 8
    assert max(map(len, made)) <= 128


def test_refusal_of_a_long_task_id_still_fits_an_id():
    assert len(refusal_id("x" * 100_000)) <= 128
