"""Draw docs/graph.svg: places and routes by hand, everything else from the code.

Processes, domains and namespaces come from config/graph.yaml. An edge is drawn only while its
source publishes the topic and its target subscribes to it; a node or a topic that the picture
does not know stops the program, so the picture cannot fall behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from eo_nodes.contracts.topics import TOPICS
from eo_nodes.graph.description import Graph

from .facts import SHARED_TOPICS, all_nodes, graph, walk

WIDTH, HEIGHT = 1240, 862
NODE_W, NODE_H = 172, 56
COL = (58, 322, 586, 850, 1034)
A, B, C = 134, 228, 334  # rows of the satellite
SIM, G1, G2 = 494, 654, 752

# kind/node -> left, top
PLACES = {
    "space/camera_ingest": (COL[0], A),
    "space/preprocess": (COL[0], C),
    "space/tasking": (COL[1], A),
    "space/confidence": (COL[1], B),
    "space/compact_lvlm": (COL[2], B),
    "space/contact_planner": (COL[3], A),
    "space/downlink_scheduler": (COL[3], C),
    "space/health_monitor": (COL[4] + 4, A),
    "sim/scenario_player": (COL[0], SIM),
    "sim/orbit_clock": (COL[1], SIM),
    "sim/link_emulator": (COL[3], SIM),
    "ground/health_monitor": (COL[0], G1),
    "ground/ground_lvlm": (COL[2], G1),
    "ground/ground_station": (COL[3], G1),
    "ground/archive": (COL[4], G1),
    "ground/contact_planner": (COL[4], G2),
    "outside/consoles": (COL[0], G2),
}
BANDS = {"space": (82, 340), "sim": (456, 114), "ground": (604, 242)}
# Topics that need no line, with where they go.
UNDRAWN = {
    "preview": "to consoles",
    "inbox": "for the record only",
    "queue": "to consoles",
    "link_state": "to consoles",
    "mode": "to confidence and consoles",
    "diagnostics": "to consoles",
}


@dataclass(frozen=True, slots=True)
class Edge:
    """One line: from the first point to the arrow at the last.

    Attributes:
        source, target: keys of `PLACES`.
        topics: what travels; `frames` is the link.
        points: corners, both ends included.
        label: left end of its text, and baseline; None for no text.
        is_soft: drawn lighter: what decisions look at.
        is_turned: text runs upwards.
    """

    source: str
    target: str
    topics: tuple[str, ...]
    points: tuple[tuple[int, int], ...]
    label: tuple[int, int] | None
    is_soft: bool = False
    is_turned: bool = False


_S, _G = "space/", "ground/"
R = [x + NODE_W for x in COL]  # right sides
MID = [x + NODE_W // 2 for x in COL]
# fmt: off - one edge reads better as two or three lines
EDGES = (
    Edge(
        _S + "camera_ingest",
        _S + "tasking",
        ("scene",),
        ((R[0], A + 28), (COL[1], A + 28)),
        (R[0] + 26, A + 22),
    ),
    Edge(
        _S + "tasking",
        _S + "preprocess",
        ("request", "refine", "enhance"),
        ((COL[1], A + 46), (256, A + 46), (256, C + 10), (R[0], C + 10)),
        (250, B + 88),
        is_turned=True,
    ),
    Edge(
        _S + "tasking",
        _S + "confidence",
        ("request",),
        ((COL[1] + 50, A + NODE_H), (COL[1] + 50, B)),
        (COL[1] + 2, B - 10),
    ),
    Edge(
        _S + "confidence",
        _S + "tasking",
        ("verdict",),
        ((COL[1] + 122, B), (COL[1] + 122, A + NODE_H)),
        (COL[1] + 128, B - 10),
    ),
    Edge(
        _S + "confidence",
        _S + "preprocess",
        ("verdict",),
        ((COL[1], B + 36), (288, B + 36), (288, C + 22), (R[0], C + 22)),
        (302, B + 98),
        is_turned=True,
    ),
    Edge(
        _S + "preprocess",
        _S + "compact_lvlm",
        ("views",),
        ((R[0], C + 34), (MID[2] - 30, C + 34), (MID[2] - 30, B + NODE_H)),
        (R[0] + 110, C + 29),
    ),
    Edge(
        _S + "compact_lvlm",
        _S + "confidence",
        ("tap",),
        ((COL[2], B + 18), (R[1], B + 18)),
        (R[1] + 34, B + 13),
    ),
    Edge(
        _S + "confidence",
        _S + "compact_lvlm",
        ("verdict",),
        ((R[1], B + 40), (COL[2], B + 40)),
        (R[1] + 26, B + 35),
    ),
    Edge(
        _S + "compact_lvlm",
        _S + "tasking",
        ("answer",),
        ((MID[2] - 30, B), (MID[2] - 30, A + 46), (R[1], A + 46)),
        (R[1] + 26, A + 60),
    ),
    Edge(
        _S + "tasking",
        _S + "downlink_scheduler",
        ("provisional", "final"),
        ((R[1], A + 12), (822, A + 12), (822, C + 12), (COL[3], C + 12)),
        (R[1] + 26, A + 7),
    ),
    Edge(
        _S + "downlink_scheduler",
        _S + "tasking",
        ("task", "notice", "downlink_report"),
        ((COL[3], C + 26), (792, C + 26), (792, A + 29), (R[1], A + 29)),
        (R[1] + 110, A + 24),
    ),
    Edge(
        _S + "preprocess",
        _S + "downlink_scheduler",
        ("product",),
        ((R[0], C + 46), (COL[3], C + 46)),
        (R[2] - 40, C + 41),
    ),
    Edge(
        _S + "contact_planner",
        _S + "downlink_scheduler",
        ("contact_plan",),
        ((COL[3] + 66, A + NODE_H), (COL[3] + 66, C)),
        (COL[3] + 73, B + 24),
        is_soft=True,
    ),
    Edge(
        _S + "contact_planner",
        _S + "confidence",
        ("contact_plan",),
        (
            (COL[3] + 30, A + NODE_H),
            (COL[3] + 30, C - 26),
            (COL[1] + 122, C - 26),
            (COL[1] + 122, B + NODE_H),
        ),
        (COL[2] + 76, C - 31),
        is_soft=True,
    ),
    Edge(
        _S + "downlink_scheduler",
        _S + "preprocess",
        ("byte_budget",),
        ((COL[3] + 30, C + NODE_H), (COL[3] + 30, C + 76), (MID[0], C + 76), (MID[0], C + NODE_H)),
        (COL[2] + 76, C + 71),
        is_soft=True,
    ),
    Edge(
        _S + "downlink_scheduler",
        _S + "confidence",
        ("byte_budget",),
        ((COL[1] + 90, C + 76), (COL[1] + 90, B + NODE_H)),
        None,
        is_soft=True,
    ),
    Edge(
        "sim/scenario_player",
        _S + "camera_ingest",
        ("image", "image/compressed"),
        ((COL[0], SIM + 28), (33, SIM + 28), (33, A + 28), (COL[0], A + 28)),
        (27, C + 22),
        is_turned=True,
    ),
    Edge(
        "sim/scenario_player",
        _G + "ground_station",
        ("task",),
        ((MID[0], SIM + NODE_H), (MID[0], 586), (COL[3] + 48, 586), (COL[3] + 48, G1)),
        (COL[2] + 76, 581),
    ),
    Edge(
        _S + "downlink_scheduler",
        "sim/link_emulator",
        ("frames",),
        ((MID[3] + 20, C + NODE_H), (MID[3] + 20, SIM)),
        (MID[3] + 27, 446),
    ),
    Edge(
        "sim/link_emulator",
        _S + "downlink_scheduler",
        ("frames",),
        ((MID[3] - 6, SIM), (MID[3] - 6, C + NODE_H)),
        None,
    ),
    Edge(
        "sim/link_emulator",
        _G + "ground_station",
        ("frames",),
        ((MID[3] + 20, SIM + NODE_H), (MID[3] + 20, G1)),
        (MID[3] + 27, 592),
    ),
    Edge(
        _G + "ground_station",
        "sim/link_emulator",
        ("frames",),
        ((MID[3] - 6, G1), (MID[3] - 6, SIM + NODE_H)),
        None,
    ),
    Edge(
        _G + "ground_station",
        _G + "ground_lvlm",
        ("product",),
        ((COL[3], G1 + 18), (R[2], G1 + 18)),
        (R[2] + 22, G1 + 13),
    ),
    Edge(
        _G + "ground_lvlm",
        _G + "ground_station",
        ("answer", "notice"),
        ((R[2], G1 + 40), (COL[3], G1 + 40)),
        (R[2] + 4, G1 + 35),
    ),
    Edge(
        _G + "ground_station",
        _G + "archive",
        ("provisional", "final", "product"),
        ((R[3], G1 + 28), (COL[4], G1 + 28)),
        None,
    ),
    Edge(
        "outside/consoles",
        _G + "ground_station",
        ("task", "command"),
        ((R[0], G2 + 18), (COL[3] + 60, G2 + 18), (COL[3] + 60, G1 + NODE_H)),
        (COL[2] + 20, G2 + 13),
    ),
    Edge(
        _G + "ground_station",
        "outside/consoles",
        ("provisional", "final", "event"),
        ((COL[3] + 110, G1 + NODE_H), (COL[3] + 110, G2 + 40), (R[0], G2 + 40)),
        (COL[2] + 20, G2 + 35),
    ),
)
# fmt: on

_STYLE = """
text{font:13px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1d2733}
.band{fill:#f4f7fb;stroke:#c3cfdd}.sim{fill:#faf7ef;stroke:#dccfa8;stroke-dasharray:6 4}
.process{fill:none;stroke:#8fa3ba;stroke-dasharray:3 3}.process-name{font-size:11px;fill:#5b6b7d}
.node{fill:#fff;stroke:#34495e;stroke-width:1.3}.name{font-weight:600}
.small{font-size:11px;fill:#5b6b7d}.title{font-size:14px;font-weight:600}
.edge{fill:none;stroke:#22577a;stroke-width:1.5}.soft{stroke:#9aa8b8}
.frames{stroke:#b5532a;stroke-width:2.6}.label{font-size:12px;fill:#22577a}
.soft-label{font-size:12px;fill:#6c7a89}.frames-label{font-size:12px;fill:#b5532a}
"""
_ABOUT = {
    "camera_ingest": "images to scenes",
    "tasking": "ledger: task x scene",
    "confidence": "verdict at each tap",
    "compact_lvlm": "on-board model",
    "preprocess": "views; regions kept",
    "contact_planner": "own passes",
    "downlink_scheduler": "queue, CFDP, frames",
    "health_monitor": "beats, mode, commands",
    "ground_station": "CFDP, ground ledger",
    "ground_lvlm": "regular model",
    "archive": "search, get, export",
    "orbit_clock": "/clock in both domains",
    "link_emulator": "modem of both ends",
    "scenario_player": "camera and askers",
    "consoles": "ask, watch, passes ...",
}


class PictureError(Exception):
    """The picture and the code disagree; the text says where."""


def draw() -> str:
    """Return the picture as SVG. Raises `PictureError` when it would not be true."""
    description = graph()
    _check(description)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="The graph of nodes">',
        f"<style>{_STYLE}</style>",
        "<defs>" + "".join(_marker(n, c) for n, c in _COLOURS.items()) + "</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
        '<text class="title" x="20" y="32">spaceverse: one graph, two DDS domains, '
        "one link between them</text>",
        *(
            f'<text class="small" x="20" y="{51 + 16 * number}">{escape(line)}</text>'
            for number, line in enumerate(_legend())
        ),
        *_bands(description),
        *_processes(description),
        *map(_edge, EDGES),
        *map(_node, PLACES),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


_COLOURS = {"edge": "#22577a", "soft": "#9aa8b8", "frames": "#b5532a"}


def _marker(name: str, colour: str) -> str:
    return (
        f'<marker id="to-{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        f'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
    )


def _legend() -> tuple[str, str]:
    rest = ", ".join(f"{topic} {where}" for topic, where in UNDRAWN.items())
    shared = ", ".join(SHARED_TOPICS)
    return (
        f"Dashed box: one process. Not drawn: {shared} of every node; /clock to every node;",
        f"{rest}.",
    )


def _check(description: Graph) -> None:
    nodes = {node.name: node for node in all_nodes()}
    known = {key.partition("/")[2] for key in PLACES if not key.startswith("outside/")}
    if known != set(nodes):
        raise PictureError(f"nodes drawn and nodes of the graph differ: {known ^ set(nodes)}")
    placed = {f"{kind}/{name}" for kind, _, name in walk(description)}
    if missing := placed - PLACES.keys():
        raise PictureError(f"no place for {sorted(missing)}")
    drawn = {topic for edge in EDGES for topic in edge.topics} - {"frames"}
    if lost := TOPICS.keys() - drawn - UNDRAWN.keys() - set(SHARED_TOPICS) - {"/clock"}:
        raise PictureError(f"topics neither drawn nor excused: {sorted(lost)}")
    for edge in EDGES:
        source = nodes.get(edge.source.partition("/")[2])
        target = nodes.get(edge.target.partition("/")[2])
        for topic in set(edge.topics) - {"frames", *SHARED_TOPICS}:
            if source is not None and topic not in source.speaks:
                raise PictureError(f"{edge.source} does not publish {topic}")
            if target is not None and topic not in target.hears:
                raise PictureError(f"{edge.target} does not subscribe to {topic}")


def _bands(description: Graph) -> list[str]:
    parts = []
    for kind, (top, height) in BANDS.items():
        parts.append(
            f'<rect class="band {kind}" x="16" y="{top}" width="{WIDTH - 32}" '
            f'height="{height}" rx="8"/>'
        )
        names = [
            f"{segment.namespace} (domain {segment.domain_id})"
            for segment in description.segments.values()
            if segment.kind == kind
        ]
        words = {
            "space": f"satellite: {', '.join(names)}",
            "ground": f"ground: {', '.join(names)}",
            "sim": "simulation, in both domains; a radio replaces link_emulator",
        }[kind]
        x = R[1] + 24 if kind == "sim" else 26
        y = top + 22 if kind != "sim" else SIM + 24
        for number, line in enumerate(words.split("; ")):
            parts.append(f'<text class="small" x="{x}" y="{y + 16 * number}">{escape(line)}</text>')
    x, y = R[3] + 24, SIM + 24
    for number, line in enumerate(("UDP frames, only during", "a contact: rate, delay,", "loss")):
        parts.append(
            f'<text class="frames-label" x="{x}" y="{y + 16 * number}">{escape(line)}</text>'
        )
    return parts


def _processes(description: Graph) -> list[str]:
    parts = []
    for kind_name, kind in description.kinds.items():
        for process in kind.processes:
            corners = [PLACES[f"{kind_name}/{node}"] for node in process.nodes]
            left = min(x for x, _ in corners) - 9
            top = min(y for _, y in corners) - 20
            right = max(x for x, _ in corners) + NODE_W + 9
            bottom = max(y for _, y in corners) + NODE_H + 9
            parts.append(
                f'<rect class="process" x="{left}" y="{top}" width="{right - left}" '
                f'height="{bottom - top}" rx="6"/>'
            )
            parts.append(
                f'<text class="process-name" x="{left + 8}" y="{top + 13}">{process.name}</text>'
            )
    return parts


def _edge(edge: Edge) -> str:
    kind = "frames" if "frames" in edge.topics else "soft" if edge.is_soft else "edge"
    points = " ".join(f"{x},{y}" for x, y in edge.points)
    line = f'<polyline class="edge {kind}" points="{points}" marker-end="url(#to-{kind})"/>'
    if edge.label is None:
        return line
    x, y = edge.label
    css = {"edge": "label", "soft": "soft-label", "frames": "frames-label"}[kind]
    turn = f' transform="rotate(-90 {x} {y})"' if edge.is_turned else ""
    text = escape(", ".join(edge.topics))
    return f'{line}<text class="{css}" x="{x}" y="{y}"{turn}>{text}</text>'


def _node(key: str) -> str:
    x, y = PLACES[key]
    name = key.partition("/")[2]
    return (
        f'<rect class="node" x="{x}" y="{y}" width="{NODE_W}" height="{NODE_H}" rx="5"/>'
        f'<text class="name" x="{x + 12}" y="{y + 24}">{name}</text>'
        f'<text class="small" x="{x + 12}" y="{y + 42}">{escape(_ABOUT[name])}</text>'
    )
