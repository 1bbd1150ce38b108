"""Make untrusted text safe to print: prompts come from anyone, answers from a model.

A terminal obeys control characters (it can be told to rewrite the title, the clipboard or lines
already printed), and bidirectional controls reorder what a reader sees. Both are shown as escapes
instead. Markup of rich is no concern here: cleaned text is printed with markup switched off, or as
`rich.text.Text`, never inside a markup string.
"""

from __future__ import annotations

import datetime
import unicodedata

_KEPT_FORMATS = {"\u200d"}  # joins emoji and some scripts, harmless


def clean(text: str, *, limit: int | None = None) -> str:
    """Return text that a terminal prints and does not obey, on one line.

    Args:
        text: anything.
        limit: longest result in characters; longer text ends in an ellipsis.
    Returns:
        Line breaks and tabs as one space; other control and format characters as ``\\xNN`` or
        ``\\uNNNN``.
    """
    parts = []
    for char in text:
        if char in "\n\r\t\x0b\x0c\u2028\u2029\x85":
            parts.append(" ")
        elif unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co") and char not in _KEPT_FORMATS:
            parts.append(f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")
        else:
            parts.append(char)
    line = "".join(parts)
    if limit is not None and len(line) > limit:
        line = line[: max(limit - 1, 0)] + "…"
    return line


def utc(stamp_ns: int, *, date: bool = True) -> str:
    """Return a time stamp as ISO 8601 UTC to the second, or ``-`` for 0."""
    if not stamp_ns:
        return "-"
    moment = datetime.datetime.fromtimestamp(stamp_ns // 1_000_000_000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if date else "%H:%M:%SZ")


def size(count: float) -> str:
    """Return a byte count for people, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def span(seconds: float) -> str:
    """Return a duration for people."""
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
