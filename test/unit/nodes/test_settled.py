"""State of this very instant is not looked at: whether it is known yet hangs on the machine."""

import itertools
from types import SimpleNamespace

import pytest

from eo_nodes.nodes.settled import Settled


def message(stamp_ns, name):
    return SimpleNamespace(stamp_ns=stamp_ns, name=name)


def test_what_is_known_before_an_instant_does_not_hang_on_what_came_at_it():
    stamps = (10, 20, 20, 30, 30, 30)
    sent = [message(t, str(i)) for i, t in enumerate(stamps)]
    for now_ns, wanted in ((10, None), (20, "0"), (30, "2"), (31, "5")):
        before = [m for m in sent if m.stamp_ns < now_ns]
        at_once = [m for m in sent if m.stamp_ns == now_ns]
        for known in range(len(at_once) + 1):
            topic = Settled()
            for m in [*before, *at_once[:known]]:
                topic.put(m)
            found = topic.before(now_ns)
            assert (found and found.name) == wanted


@pytest.mark.parametrize("gap", [0, 1])
def test_the_newest_of_an_earlier_instant_is_kept_however_many_follow(gap):
    topic = Settled()
    assert topic.before(5) is None
    for i, _ in enumerate(itertools.repeat(None, 4)):
        topic.put(message(7 + gap * i, str(i)))
    assert topic.before(7) is None if gap == 0 else topic.before(10).name == "2"
