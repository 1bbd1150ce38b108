"""A budget for tests of training commands."""


class Looks:
    """A budget that is spent by looking at it, so that a slow machine does as many steps."""

    def __init__(self, minutes, spent_s=0.0):
        self.looks, self.spent_s = minutes, spent_s

    @property
    def share(self):
        self.spent_s += 1
        return min(1.0, self.spent_s / self.looks)

    def rate(self):
        return 0.5
