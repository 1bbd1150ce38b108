"""Why a request went the way it did: three of a run, tap by tap, with what was known at the time.

One of each kind, as far as the run has them: pixels asked for before the answer was complete, an
answer from on board, a provisional answer that the ground replaced. Where a kind did not occur,
others stand in its place, so that three are shown wherever three were decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eo_nodes.decision.routing import signed

from .cards import STAGES, regions_line
from .markup import clock, esc, size, span, tag

Request = dict[str, Any]
_END = 3


def _last(request: Request) -> dict[str, Any]:
    return dict(request["verdicts"][-1])


def _is_early(request: Request) -> bool:
    return _last(request)["decision"] == "offload" and _last(request)["stage"] < _END


def _is_late_offload(request: Request) -> bool:
    return _last(request)["decision"] == "offload" and _last(request)["stage"] >= _END


def _is_onboard(request: Request) -> bool:
    return _last(request)["decision"] == "answer" and request["origin"] == "onboard"


def _is_provisional(request: Request) -> bool:
    return bool(request.get("provisional")) and request["origin"] == "ground"


KINDS: tuple[tuple[str, Callable[[Request], bool]], ...] = (
    ("The ground was asked before the answer was complete", _is_early),
    ("Answered on board", _is_onboard),
    ("Answered provisionally on board, then by the ground", _is_provisional),
    ("Too late for its deadline, asked behind the rest", lambda r: bool(_last(r).get("is_late"))),
    ("The ground was asked at the end of the answer", _is_late_offload),
    ("One more", lambda _: True),
)


def chosen(requests: Sequence[Request], most: int = 3) -> list[tuple[int, str]]:
    """Return index and kind of the requests to show, no kind twice while others are left."""
    found: dict[int, str] = {}
    for kind, fits in KINDS:
        left = most - len(found) if kind == KINDS[-1][0] else 1
        for index, request in enumerate(requests):
            if len(found) == most or not left:
                break
            if index not in found and request.get("verdicts") and fits(request):
                found[index] = kind
                left -= 1
    return list(found.items())


def why(requests: Sequence[Request]) -> str:
    """Return the cards; empty where no request was decided."""
    cards = [_card(index, kind, requests[index]) for index, kind in chosen(requests)]
    return tag("div", *cards, cls="why") if cards else ""


def _card(index: int, kind: str, request: Request) -> str:
    said = request["answer"] or request.get("reason", "")
    return tag(
        "div",
        tag("h3", esc(kind)),
        tag("p", tag("a", f"#{index + 1}", href=f"#r{index + 1}"), " ", esc(request["prompt"])),
        tag("p", esc(said), cls="said"),
        _taps(request["verdicts"]),
        tag("dl", *(tag("dt", esc(k)) + tag("dd", esc(v)) for k, v in _facts(request) if v)),
    )


def _taps(verdicts: Sequence[dict[str, Any]]) -> str:
    head = tag("tr", *(tag("th", name) for name in
                       ("", "score", "answers from", "asks below", "ground adds", "decision")))
    lines = []
    for row in verdicts:
        cells = (
            STAGES.get(row["stage"], str(row["stage"])), f"{row.get('score', 0):.2f}",
            _bar(row.get("accept"), lambda v: v <= 1), _bar(row.get("reject"), lambda v: v > 0),
            signed(row.get("gain", 0)) if _is_weighed(row) else "-", row["decision"],
        )  # fmt: skip
        lines.append(tag("tr", *(tag("td", esc(cell)) for cell in cells)))
        if row.get("reason"):
            lines.append(tag("tr", tag("td", esc(row["reason"]), colspan=6), cls="reason"))
    return tag("table", tag("thead", head), tag("tbody", *lines))


def _bar(value: float | None, applies: Callable[[float], bool]) -> str:
    return f"{value:.2f}" if value is not None and applies(value) else "-"


def _is_weighed(row: dict[str, Any]) -> bool:
    """Whether heads, plan and queue were weighed; thresholds name no level."""
    return bool(row.get("level"))


def _facts(request: Request) -> list[tuple[str, str]]:
    last = _last(request)
    link = last.get("link", {})
    how = "the model's own confidence against fixed thresholds; no gain was weighed"
    if _is_weighed(last):
        how = f"scores of the heads; pixels as {last['level']} were weighed"
    budget = ""
    if "budget_bytes" in link:
        budget = (f"{size(link['budget_bytes'])} left of {size(link['capacity_bytes'])}, "
                  f"{size(link['queued_bytes'])} queued")
    sent = f"{size(request.get('bytes_sent', 0))} of {size(request.get('bytes_raw', 0))}"
    return [
        ("decided by", how),
        ("deadline", "too late for its deadline" if last.get("is_late") else ""),
        ("budget", budget),
        ("plan", _plan(link, last["stamp_ns"])),
        ("regions", regions_line(request)),
        ("sent", sent),
        ("on board it said", request.get("provisional", "") if _is_provisional(request) else ""),
        ("truth", request.get("truth", "")),
    ]


def _plan(link: dict[str, Any], now_ns: int) -> str:
    if "planned" not in link:
        return "none known"
    if not link["planned"]:
        return "no contact ahead"
    wait_s = (link["aos_ns"] - now_ns) / 1e9
    when = f"in {span(wait_s)}" if wait_s > 0 else "under way"
    until = f"until {clock(link['los_ns'])}"
    return f"{link['station']} {when}, {until}; contacts ahead: {link['planned']}"
