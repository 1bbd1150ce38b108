"""Names off the link: relative, plain, inside the receive root (M9)."""

from __future__ import annotations

from eo_nodes.link.cfdp.pdus import MAX_NAME_BYTES

PART_FOLDER = ".part"


def name_fault(name: str) -> str | None:
    """Tell what is wrong with a file name off the link; None when it may be used.

    Refused: empty or longer than 128 octets, absolute, ``..`` or ``.`` or empty components, hidden
    components (``.part`` is ours), a backslash, a colon, control characters.
    """
    if not name or len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return "length"
    if not name.isprintable() or "\\" in name or ":" in name:
        return "character"
    if name.startswith("/"):
        return "absolute"
    if any(part == "" or part.startswith(".") for part in name.split("/")):
        return "component"
    return None
