"""A process that waits for a signal; its threads die late on a busy machine."""

import os
import signal
import threading


def idle() -> None:
    """Wait at the lowest priority."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    threading.Event().wait()


if __name__ == "__main__":
    for _ in range(8):
        threading.Thread(target=idle, daemon=True).start()
    signal.pause()
