"""The channel: rate, delay, loss, bit errors, silence, modem buffer, cut at LOS, seed."""

import pytest

from eo_sim.channel import S_NS, Channel, Faults

MS_NS = S_NS // 1000
RATE_BPS, FRAME = 8_000, bytes(range(100))  # 100 bytes last 0.1 s
FAR_NS = 10**18


def channel(grid_ns=1, **faults):
    return Channel(Faults(**faults), grid_ns=grid_ns, buffer_ns=10_000 * S_NS)


def offer(link, count, frame=FRAME, now_ns=0, los_ns=FAR_NS):
    return sum(link.push(frame, now_ns, RATE_BPS, 0, los_ns) for _ in range(count))


def test_frames_take_their_time_one_after_the_other():
    link = channel()
    offer(link, 3)
    assert link.next_ns() == 100 * MS_NS
    assert link.due(100 * MS_NS - 1) == []
    assert link.due(200 * MS_NS) == [FRAME, FRAME]
    assert link.next_ns() == 300 * MS_NS


def test_light_time_comes_on_top():
    link = channel()
    link.push(FRAME, 0, RATE_BPS, 7 * MS_NS, FAR_NS)
    assert link.next_ns() == 107 * MS_NS


def test_arrivals_lie_on_the_grid_and_are_never_early():
    link = channel(grid_ns=70 * MS_NS)
    offer(link, 2)
    assert link.next_ns() == 140 * MS_NS
    assert link.due(139 * MS_NS) == []
    assert len(link.due(210 * MS_NS)) == 2


def test_idle_channel_does_not_save_up_rate():
    link = channel()
    offer(link, 1, now_ns=5 * S_NS)
    assert link.next_ns() == 5 * S_NS + 100 * MS_NS


def test_frames_arrive_in_the_order_sent():
    link = channel(grid_ns=S_NS)
    sent = [bytes([number]) for number in range(50)]
    for frame in sent:
        link.push(frame, 0, RATE_BPS, 0, FAR_NS)
    assert link.due(10 * S_NS) == sent


@pytest.mark.parametrize("rate_bps", [0, -1])
def test_m5_nothing_passes_outside_a_contact(rate_bps):
    link = channel()
    assert not link.push(FRAME, 0, rate_bps, 0, FAR_NS)
    assert link.next_ns() is None
    assert (link.counters.outside_contact, link.counters.sent) == (1, 0)


def test_m5_frame_that_is_not_out_at_los_is_cut():
    link = channel()
    assert offer(link, 3, los_ns=250 * MS_NS) == 2
    assert link.counters.outside_contact == 1
    assert len(link.due(FAR_NS)) == 2
    # Exactly at LOS it is out.
    edge = channel()
    assert offer(edge, 1, los_ns=100 * MS_NS) == 1


def test_frames_on_the_way_at_los_still_arrive():
    link = channel()
    link.push(FRAME, 0, RATE_BPS, 7 * MS_NS, 100 * MS_NS)
    assert link.due(107 * MS_NS) == [FRAME]


def test_full_modem_buffer_refuses():
    link = Channel(Faults(), grid_ns=1, buffer_ns=250 * MS_NS)
    assert offer(link, 10) == 3  # at 0, 0.1, 0.2 s; the fourth would wait 0.3 s
    assert link.counters.overflowed == 7
    assert offer(link, 1, now_ns=100 * MS_NS) == 1


def test_share_of_lost_frames_is_the_stated_one():
    link = channel(loss=0.1, seed=3)
    offer(link, 20_000)
    assert abs(link.counters.lost / 20_000 - 0.1) < 0.007  # three sigma
    assert len(link.due(FAR_NS)) == link.counters.sent - link.counters.lost


def test_lost_frame_took_its_time_on_the_air():
    link = channel(loss=1.0)
    offer(link, 5)
    assert link.next_ns() is None
    clean = channel()
    clean._free_at_ns = link._free_at_ns  # the next one starts behind what was lost
    offer(clean, 1)
    assert clean.next_ns() == 600 * MS_NS


@pytest.mark.parametrize("rate", [1e-3, 0.02, 0.3])
def test_share_of_flipped_bits_is_the_stated_one(rate):
    link = channel(bit_error_rate=rate, seed=5)
    frame, count = bytes(20), 4000
    offer(link, count, frame)
    flipped = sum(bin(int.from_bytes(got, "big")).count("1") for got in link.due(FAR_NS))
    bits = count * len(frame) * 8
    # Three sigma; one frame has 160 bits, so the limit of 64 flips a frame is out of reach.
    assert abs(flipped / bits - rate) < 3 * (rate * (1 - rate) / bits) ** 0.5


def test_flips_are_spread_over_all_bits():
    link = channel(bit_error_rate=0.01, seed=9)
    offer(link, 5000, bytes(4))
    counts = [0] * 32
    for got in link.due(FAR_NS):
        for bit in range(32):
            counts[bit] += got[bit // 8] >> (bit % 8) & 1
    assert min(counts) > 20 and max(counts) < 90  # 50 expected


def test_clean_channel_changes_no_byte():
    link = channel()
    offer(link, 100)
    assert set(link.due(FAR_NS)) == {FRAME}
    assert link.counters.damaged == 0


def test_sender_keeps_its_bytes_when_the_channel_damages_them():
    link = channel(bit_error_rate=0.5, seed=1)
    frame = bytes(50)
    link.push(frame, 0, RATE_BPS, 0, FAR_NS)
    assert link.due(FAR_NS) != [frame] and frame == bytes(50)


def test_same_seed_same_run_other_seed_other_run():
    def run(seed):
        link = channel(loss=0.2, bit_error_rate=1e-3, seed=seed)
        offer(link, 300)
        return link.due(FAR_NS), link.counters.lost

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_counters_account_for_every_frame():
    link = Channel(Faults(loss=0.3, seed=2), grid_ns=1, buffer_ns=2 * S_NS)
    offer(link, 100, los_ns=S_NS)
    link.push(FRAME, 0, 0, 0, FAR_NS)
    link.due(FAR_NS)
    count = link.counters
    assert count.offered == count.sent + count.outside_contact + count.overflowed == 101
    assert count.sent == count.lost + count.delivered
    assert count.sent_bytes == count.sent * len(FRAME)
