"""The documentation says what the code says: written parts, links, paths and commands."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("rclpy")
# docs/ is no part of an installation.
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from docs import __main__ as writer
from docs import draw_graph
from docs.facts import all_nodes
from eo_nodes.cli.main import app
from eo_nodes.contracts.operations import OPCODES
from eo_nodes.contracts.topics import TOPICS

ROOT = Path(writer.__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
TREE = re.compile(
    r"`((?:docs|config|eo_nodes|sim|test|training|tools|models|msg|srv|launch|bench)/[\w./-]*)`"
)


def test_written_parts_are_current():
    assert writer.stale() == [], "run: python -m docs"


@pytest.mark.parametrize("label", writer.BLOCKS["README.md"])
def test_a_changed_part_is_noticed(label, monkeypatch):
    monkeypatch.setitem(writer.BLOCKS["README.md"], label, lambda: "| other |")

    assert writer.stale() == ["README.md"]


def test_every_node_has_a_section_that_says_what_it_does_hears_and_says():
    sections = (ROOT / "README.md").read_text(encoding="utf-8").split("\n### ")
    found = {section.partition("\n")[0]: section for section in sections}
    headings = (ROOT / "docs/nodes.md").read_text(encoding="utf-8").splitlines()

    for node in all_nodes():
        section = found[node.name]
        topics = set(re.findall(r"`([\w/]+)`", section))
        assert {*node.hears, *node.speaks, *node.places} <= topics
        assert f"(docs/nodes.md#{node.name})" in section and f"## {node.name}" in headings


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    own = [link for link in links if "://" not in link]

    assert [link for link in own if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_paths_named_in_text_exist(page):
    processes = {place for node in all_nodes() for place in node.places}
    named = set(TREE.findall(page.read_text(encoding="utf-8"))) - processes

    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_and_options_named_exist(page):
    group = typer.main.get_command(app)
    lines = page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    calls = [
        re.sub(r"\s+#.*|&&.*", "", line) for line in lines if line.startswith("    spaceverse ")
    ]

    for call in calls:
        name, *words = call.split()[1:]
        command = group.commands.get(name)
        assert command is not None, call
        known = {option for parameter in command.params for option in parameter.opts}
        if command.context_settings.get("ignore_unknown_options"):  # for a parser of its own
            known |= set(re.findall(r"--[\w-]+", CliRunner().invoke(app, [name, "--help"]).output))
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, call


def test_every_topic_is_spoken_by_some_node():
    spoken = {topic for node in all_nodes() for topic in node.speaks}

    assert TOPICS.keys() - spoken == set(draw_graph.SHARED_TOPICS)


def test_an_edge_that_the_code_does_not_have_stops_the_picture(monkeypatch):
    first = draw_graph.EDGES[0]
    wrong = (replace(first, topics=("scene", "verdict")), *draw_graph.EDGES[1:])
    monkeypatch.setattr(draw_graph, "EDGES", wrong)

    with pytest.raises(draw_graph.PictureError, match="verdict"):
        draw_graph.draw()


def test_a_node_without_a_place_stops_the_picture(monkeypatch):
    places = {k: v for k, v in draw_graph.PLACES.items() if k != "ground/archive"}
    monkeypatch.setattr(draw_graph, "PLACES", places)

    with pytest.raises(draw_graph.PictureError, match="archive"):
        draw_graph.draw()


def test_opcodes_of_operations_are_those_of_the_message_and_who_obeys_them():
    row = re.compile(r"^\| `(\w+)` \| (?:`(\w+)`|nobody yet) \|", re.MULTILINE)
    part = (ROOT / "docs/operations.md").read_text().partition("## Commands")[2]
    found = dict(row.findall(part.partition("\n## ")[0]))
    line = next(x for x in (ROOT / "msg/Command.msg").read_text().splitlines() if "opcode" in x)
    assert set(found) == {name.strip() for name in line.partition("#")[2].split("|")}
    assert {opcode: node for opcode, node in found.items() if node} == OPCODES


def test_every_code_in_the_tree_has_a_line_in_the_page_of_sources():
    page = (ROOT / "docs/sources.md").read_text(encoding="utf-8")
    known = {code for row in re.findall(r"^\| ([A-Z][\w, ]*) \|", page, re.MULTILINE)
             for code in row.split(", ")}  # fmt: skip
    used = set()
    for path in [p for top in ("eo_nodes", "sim", "test") for p in (ROOT / top).rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        for rows in re.findall(r"\bdef test_((?:[mfs]\d+_)+)", text):
            used |= {f"{row[0].upper()}{int(row[1:])}" for row in rows.strip("_").split("_")}
        used |= set(re.findall(r"\b(M[1-9]\d?)\b", text))
    wall = (ROOT / "training/gallery/wall.py").read_text(encoding="utf-8")
    used |= (shown := set(re.findall(r'Row\("(\w\d)"', wall)))
    assert used - known == set()
    assert {"M18", "M30", "F7", "F12", "E3", "X6", "G1"} <= used
    assert shown == {code for code in known if code[0] in "EXG"}
