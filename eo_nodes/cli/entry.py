"""Entry of the `spaceverse` command: what must happen before anything slow is imported."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command and exit.

    `up` ends with status 0 on SIGINT and SIGTERM at any moment, so also in the half second of
    imports before it has anything to stop; it takes the signals over as its first act.
    """
    if sys.argv[1:2] == ["up"]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os._exit(0))
    from .main import main as run

    run()


if __name__ == "__main__":
    main()
