"""The UDP socket: everything sent on loopback is taken, in order, and no wake-up is lost."""

import socket
import threading
import time
from collections import deque

import pytest

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.nodes.datagrams import DatagramSocket

HOST = "127.0.0.1"
DEADLINE_S = 10.0


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Ends:
    """Two sockets that talk to each other; each has an event for its wake-ups."""

    def __init__(self):
        ports = free_port(), free_port()
        self.woken = threading.Event()
        self.one = DatagramSocket((HOST, ports[0]), (HOST, ports[1]), lambda: None)
        self.two = DatagramSocket((HOST, ports[1]), (HOST, ports[0]), self.woken.set)

    def close(self):
        self.one.close()
        self.two.close()

    def take(self, count):
        """Take as the executor does: only when woken. Fails when a wake-up is missing."""
        taken = []
        deadline_s = time.monotonic() + DEADLINE_S
        while len(taken) < count:
            left_s = deadline_s - time.monotonic()
            assert self.woken.wait(max(left_s, 0)), f"{len(taken)} of {count}, and no wake-up"
            self.woken.clear()
            taken += self.two.take()
        return taken


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


def test_datagrams_arrive_in_order(ends):
    sent = [number.to_bytes(4, "big") for number in range(500)]
    assert all(ends.one.send(datagram) for datagram in sent)
    assert ends.take(500) == sent


def test_no_datagram_is_left_waiting_while_both_threads_work(ends):
    """Taker and reader race at every datagram: one that comes while draining wakes again."""
    count = 4000

    def send():
        for number in range(count):
            ends.one.send(number.to_bytes(4, "big"))

    sender = threading.Thread(target=send)
    sender.start()
    taken = ends.take(count)
    sender.join()
    assert taken == [number.to_bytes(4, "big") for number in range(count)]


class LateArrivals(deque):
    """A queue into which datagrams fall just when the taker has found it empty."""

    def __init__(self, send):
        super().__init__()
        self.send, self.appended = send, threading.Event()

    def append(self, item):
        super().append(item)
        self.appended.set()

    def __bool__(self):
        is_empty = len(self) == 0
        if is_empty and self.send is not None:
            send, self.send = self.send, None
            # The second one has come: the reader is through with the first, wake-up included.
            for datagram in (b"late", b"later"):
                self.appended.clear()
                send(datagram)
                assert self.appended.wait(DEADLINE_S)
        return not is_empty


def test_datagram_that_comes_while_the_taker_finishes_wakes_it_again(ends):
    ends.two._waiting = LateArrivals(ends.one.send)
    ends.one.send(b"first")
    assert ends.woken.wait(DEADLINE_S)
    ends.woken.clear()
    assert ends.two.take() == [b"first"]
    assert ends.woken.wait(DEADLINE_S), "datagrams wait and nobody is told"
    assert ends.two.take() == [b"late", b"later"]


def test_largest_frame_passes_and_a_larger_one_is_refused(ends):
    assert ends.one.send(bytes(65_507))
    assert not ends.one.send(bytes(65_508))
    assert ends.take(1) == [bytes(65_507)]


def test_peer_that_is_not_up_yet_does_not_stop_the_reader():
    ports = free_port(), free_port()
    woken = threading.Event()
    early = DatagramSocket((HOST, ports[0]), (HOST, ports[1]), woken.set)
    try:
        for _ in range(20):
            early.send(b"to nobody")  # answered by ICMP: port unreachable
        late = DatagramSocket((HOST, ports[1]), (HOST, ports[0]), lambda: None)
        late.send(b"hello")
        assert woken.wait(DEADLINE_S)
        assert early.take() == [b"hello"]
        late.close()
    finally:
        early.close()


def test_close_ends_a_waiting_reader_at_once(ends):
    start_s = time.monotonic()
    ends.close()
    assert time.monotonic() - start_s < 0.9  # the join gives up after 1 s
    assert not ends.two._thread.is_alive()


def test_close_while_datagrams_come_in_is_clean(ends):
    stop = threading.Event()

    def send():
        while not stop.is_set():
            ends.one.send(b"x" * 1000)

    sender = threading.Thread(target=send)
    sender.start()
    ends.take(50)
    ends.two.close()
    assert not ends.two._thread.is_alive()
    ends.two.close()  # a second call does nothing
    stop.set()
    sender.join()
    assert not ends.two.send(b"closed")


def test_closed_port_can_be_bound_again(ends):
    port = ends.two._socket.getsockname()[1]
    ends.two.close()
    DatagramSocket((HOST, port), (HOST, port), lambda: None).close()


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_address_that_cannot_be_bound_is_a_config_error(host):
    with pytest.raises(ConfigError, match="cannot listen"):
        DatagramSocket((host, free_port()), (HOST, 9), lambda: None)


def test_taken_port_is_a_config_error(ends):
    with pytest.raises(ConfigError, match="cannot listen"):
        DatagramSocket((HOST, ends.two._socket.getsockname()[1]), (HOST, 9), lambda: None)
