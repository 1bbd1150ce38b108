"""A process that waits for the signal that ends it."""

import signal

if __name__ == "__main__":
    signal.pause()
