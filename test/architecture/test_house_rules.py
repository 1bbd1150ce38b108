"""Rules of the house that a reader cannot hold in mind: size, paths, events, QoS, topics."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from eo_nodes.contracts.events import EVENTS
from eo_nodes.contracts.topics import TOPICS

ROOT = Path(__file__).parents[2]
# Folders that stand beside the repository on machines where it is written: no part of it.
FOREIGN = ("/work" + "/", "../" + "shared")
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".cfg", ".txt", ".xml", ".msg", ".srv", ".js",
        ".css", ".lock", ".tle", ""}  # fmt: skip


def tracked():
    """Files of the repository: what git knows, or in an unpacked archive what lies there."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        folders = ("eo_nodes", "sim", "test", "training", "tools", "config", "launch", "msg", "srv")
        return [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    paths = (ROOT / name for name in listing.split("\0") if name)
    return [path for path in paths if path.is_file()]


FILES = tracked()
CODE = [p for p in FILES if p.suffix == ".py" and p.relative_to(ROOT).parts[0] != "test"]
FLIGHT = [p for p in CODE if p.relative_to(ROOT).parts[0] in ("eo_nodes", "sim")]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def calls(path):
    """All calls of a file: (line, called name, node)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else None
            yield node.lineno, name or getattr(node.func, "id", ""), node


def test_no_file_is_longer_than_500_lines():
    lines = {name_of(path): path.read_text(encoding="utf-8").count("\n")
             for path in FILES if path.suffix == ".py"}
    assert not {name: n for name, n in lines.items() if n > 500}


def test_nothing_names_a_folder_of_the_machine_it_was_written_on():
    found = []
    for path in FILES:
        if path.suffix not in TEXT or path.stat().st_size > 1 << 20:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {word}" for word in FOREIGN if word in text]
    assert not found


# -- quality of service --------------------------------------------------------------------------


def test_m34_endpoints_are_made_from_the_table_only():
    """Endpoints come from `EoNode.speak` and `listen`, profiles from the table."""
    makers = {"create_publisher", "create_subscription", "QoSProfile", "create_lifecycle_publisher"}
    found = {
        (name_of(path), called)
        for path in FLIGHT
        for _, called, _ in calls(path)
        if called in makers
    }
    assert found == {
        ("eo_nodes/nodes/base.py", "create_publisher"),
        ("eo_nodes/nodes/base.py", "create_subscription"),
        ("eo_nodes/nodes/qos.py", "QoSProfile"),
        # No node, but a client of every domain; its profile is the table's.
        ("eo_nodes/nodes/bringup.py", "create_subscription"),
        # The clock hears the reports of nodes before it is active, hence not through `listen`.
        ("sim/eo_sim/nodes/orbit_clock_node.py", "create_subscription"),
    }


def test_m34_clock_hears_idle_as_the_table_says():
    """The one endpoint outside `listen`: a plain depth means reliable and volatile, as the row."""
    path = ROOT / "sim" / "eo_sim" / "nodes" / "orbit_clock_node.py"
    made = [node for _, called, node in calls(path) if called == "create_subscription"]
    assert [ast.literal_eval(node.args[1]) for node in made] == ["/idle"]
    qos = TOPICS["/idle"].qos
    assert isinstance(made[0].args[3].value, int) and made[0].args[3].value >= qos.depth
    assert (qos.reliable, qos.latched) == (True, False)


def topic_names(method):
    """Literal topic names given to speak, listen or publish: name -> files."""
    found = {}
    for path in FLIGHT:
        for line, called, node in calls(path):
            if called != method or not isinstance(node.func, ast.Attribute):
                continue
            for arg in node.args if method == "speak" else node.args[:1]:
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str):
                    found.setdefault(arg.value, []).append(f"{name_of(path)}:{line}")
    return found


@pytest.mark.parametrize("method", ["speak", "listen"])
def test_m34_topics_of_nodes_stand_in_the_table(method):
    used = topic_names(method)
    assert len(used) > 8
    assert {name: where for name, where in used.items() if name not in TOPICS} == {}


def test_every_topic_of_the_table_has_a_speaker():
    """A row nobody speaks on is a promise that nobody keeps."""
    assert set(TOPICS) - set(topic_names("speak")) == set()


def test_every_topic_is_in_the_readme():
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    missing = [name for name in TOPICS if f"`{name}`" not in text]
    assert not missing, f"topics without a row in README.md: {missing}"


# -- events --------------------------------------------------------------------------------------


def event_ids():
    """Literal ids given to ``emit``, ``event``, ``say`` and ``Event(id=...)``: id -> places."""
    found = {}
    for path in FLIGHT:
        for line, called, node in calls(path):
            args = []
            if called in ("emit", "event", "say"):
                args = node.args[:1]
            elif called == "Event":
                args = [word.value for word in node.keywords if word.arg == "id"]
            for arg in args:
                if (
                    isinstance(arg, ast.Constant)
                    and isinstance(arg.value, str)
                    and re.fullmatch(r"[A-Z][A-Z_0-9]+", arg.value)
                ):
                    found.setdefault(arg.value, []).append(f"{name_of(path)}:{line}")
    return found


def test_m21_every_emitted_event_is_in_the_table():
    used = event_ids()
    assert len(used) > 20
    assert {name: where for name, where in used.items() if name not in EVENTS} == {}


def test_m21_every_event_tells_the_operator_what_to_do():
    for name, kind in EVENTS.items():
        assert re.fullmatch(r"[A-Z][A-Z_]{1,63}", name)
        assert 0 <= kind.severity <= 4
        assert kind.meaning and kind.next_step
