"""HTML pieces: escaping by default, and numbers for people.

Text in a report comes from askers and models: it enters a page through `esc` or `tag` only.
"""

from __future__ import annotations

import datetime
import html
import math
from typing import Any


def esc(value: Any) -> str:
    """Escape for HTML text and attributes; characters HTML forbids become a replacement mark."""
    text = "".join(c if c >= " " or c in "\n\t" else "\ufffd" for c in str(value))
    return html.escape(text, quote=True)


def tag(name: str, /, *children: str, **attributes: Any) -> str:
    """Make an element.

    Args:
        name: of the element.
        children: HTML already escaped.
        attributes: values are escaped; ``cls`` is class, ``_`` in names is ``-``; None is left out.
    """
    return f"{void(name, **attributes)}{''.join(children)}</{name}>"


def void(name: str, /, **attributes: Any) -> str:
    """Make an element that has no content, such as ``img``; attributes as for `tag`."""
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
            parts.append(f'{shown}="{esc(value)}"')
    return f"<{' '.join(parts)}>"


def size(count: float) -> str:
    """Return a byte count, decimal units."""
    for unit in ("B", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def span(seconds: float) -> str:
    """Return a duration."""
    if abs(seconds) < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.0f} %"


def clock(stamp_ns: int, *, date: bool = False, seconds: bool = True) -> str:
    """Return an orbital time, UTC."""
    moment = datetime.datetime.fromtimestamp(stamp_ns // 10**9, datetime.timezone.utc)
    form = ("%Y-%m-%d " if date else "") + ("%H:%M:%S" if seconds else "%H:%M")
    return moment.strftime(form)


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share of n.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209, equation 2.
    """
    if n <= 0:
        return 0.0, 1.0
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    return max(low, 0.0), min(high, 1.0)
