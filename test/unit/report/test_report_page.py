"""The report: complete, escaped, offline, and right about what it draws."""

from __future__ import annotations

import base64
import importlib.util
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from eo_sim.report import ReportError, build
from eo_sim.report.cards import _meters, data_uri, dates_in
from eo_sim.report.headline import accuracy
from eo_sim.report.markup import esc, size, span, wilson
from eo_sim.report.timeline import phases
from eo_sim.report.why import KINDS, chosen, why
from eo_sim.report.world import land_path, track_path

_SPEC = importlib.util.spec_from_file_location(
    "sample_run", Path(__file__).with_name("sample_run.py")
)
sample_run = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(sample_run)

VOID = {"meta", "img", "input"}
S_NS = 10**9


class Checker(HTMLParser):
    """Checks nesting, and gathers what the tests look at."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.links += [attributes[key] for key in ("src", "href", "srcset") if key in attributes]
        assert not [key for key in attributes if key.startswith("on")], "a handler in an attribute"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    path = build(sample_run.sample(), folder)
    text = path.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    return folder, text, checker


def test_the_page_is_well_formed(made):
    assert made[2].open == []


def test_nothing_is_fetched(made):
    _, text, checker = made
    assert all(link.startswith(("data:image/", "#")) for link in checker.links)
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)


def test_text_from_outside_stays_text(made):
    _, text, checker = made
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in text
    assert [name for name, _ in checker.tags].count("script") == 1


def test_every_request_has_a_card_a_row_and_a_label(made):
    checker = made[2]
    cards = [attributes for name, attributes in checker.tags if name == "article"]
    assert [card["id"] for card in cards] == [f"r{number}" for number in range(1, 33)]
    links = [link for link in checker.links if link.startswith("#r")]
    explained = [f"#r{index + 1}" for index, _ in chosen(sample_run.sample()["requests"])]
    assert sorted(links) == sorted([f"#{card['id']}" for card in cards] * 2 + explained)


def test_filters_count_what_the_cards_say(made):
    checker = made[2]
    cards = [attributes for name, attributes in checker.tags if name == "article"]
    buttons = [a for name, a in checker.tags if name == "button" and "data-kind" in a]
    assert {a["data-value"] for a in buttons} >= {"wrong", "onboard", "ground", "sar"}
    wrong = sum(card["data-verdict"] == "wrong" for card in cards)
    expected = sum(row["right"] is False for row in sample_run.sample()["requests"])
    assert wrong == expected > 0


def test_regions_lie_in_the_window(made):
    checker = made[2]
    overlays = [a for name, a in checker.tags if name == "svg" and a.get("class") == "regions"]
    assert overlays
    assert overlays[0]["viewbox"] == "0 64 800 600"
    actions = {a["class"] for name, a in checker.tags if str(a.get("class")).startswith("region ")}
    assert actions == {"region keep", "region downsample", "region drop"}


def test_regions_asked_for_again_are_told_with_what_was_said_before(made):
    text = made[1]
    assert "3 regions asked for again, 2 came, 1 answers changed" in text
    asked = sum(bool(row["asked_region"]) for row in sample_run.sample()["requests"])
    assert text.count("before it asked for a region") == asked > 0
    assert text.count("several &lt;i&gt;") == asked


def test_json_holds_the_totals_and_no_pictures(made):
    data = json.loads((made[0] / "report.json").read_text())
    assert data["lost"] == data["duplicates"] == data["frames_outside_contact"] == 0
    assert data["accuracy"]["blind_ground"] == 0.45
    assert "thumbnail_png" not in json.dumps(data)
    assert len(data["requests"]) == 32


def test_a_run_without_requests_still_gets_a_page(tmp_path):
    bare = {**sample_run.sample(), "requests": [], "contacts": [], "track": [], "stations": []}
    bare["latency_s"], bare["accuracy"], bare["bytes_raw"], bare["bytes_sent"] = {}, {}, 0, 0
    checker = Checker()
    checker.feed(build(bare, tmp_path).read_text())
    assert checker.open == []


def test_a_lost_request_is_shown_not_hidden(tmp_path):
    data = sample_run.sample()
    data["lost"] = 1
    data["requests"][0].update(status="lost", origin="", answer="", right=None)
    text = build(data, tmp_path).read_text()
    assert '<div class="nonzero"><b>1</b><span>lost</span>' in text
    assert 'class="badge status">lost' in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("lost"), "lacks 'lost'"),
        (lambda r: r["requests"][3].pop("prompt"), r"requests\[3\] lacks 'prompt'"),
        (lambda r: r["requests"][0].update(window=[1, 2]), "window has 2 numbers"),
        (lambda r: r.update(track={}), "'track'.* no list"),
    ],
)
def test_an_incomplete_report_is_refused(tmp_path, change, message):
    data = sample_run.sample()
    change(data)
    with pytest.raises(ReportError, match=message):
        build(data, tmp_path)


def test_phases_join_the_steps():
    steps = [("capture", 0), ("tap1", 3), ("queued", 5), ("first_byte", 60), ("last_byte", 70)]
    rows = [{"name": name, "stamp_ns": second * S_NS} for name, second in steps]
    rows += [
        {"name": "first_byte", "stamp_ns": 65 * S_NS},
        {"name": "final", "stamp_ns": 71 * S_NS},
    ]
    assert [(name, a // S_NS, b // S_NS) for name, a, b in phases(rows)] == [
        ("compute", 0, 5),
        ("wait", 5, 60),
        ("transmit", 60, 70),
        ("ground", 70, 71),
    ]


def test_an_answer_from_on_board_has_no_phase_it_did_not_have():
    rows = [{"name": "capture", "stamp_ns": 0}, {"name": "end", "stamp_ns": 4}]
    assert phases(rows) == [("compute", 0, 4)]
    assert phases([]) == []


def test_a_coarse_history_gives_the_same_phases():
    steps = [("asked", -90), ("captured", 0), ("matched", 1), ("decided", 5), ("sent", 60)]
    steps += [("received", 70), ("final", 71)]
    rows = [{"name": name, "stamp_ns": second} for name, second in steps]
    assert [phase[1:] for phase in phases(rows)] == [(0, 5), (5, 60), (60, 70), (70, 71)]


@pytest.mark.parametrize(("width", "dates"), [(64, 1), (128, 2), (190, 3)])
def test_dates_side_by_side_are_told_from_the_size(width, dates):
    coded = cv2.imencode(".png", np.zeros((48, width, 3), np.uint8))[1]
    assert dates_in(data_uri(bytes(coded)), [10, 10, 640, 480]) == dates


def test_regions_are_drawn_on_each_date(tmp_path):
    data = sample_run.sample()
    row = data["requests"][0]
    row["thumbnail_png"] = bytes(cv2.imencode(".png", np.zeros((60, 160, 3), np.uint8))[1])
    row["regions"] = [{"window": [0, 64, 100, 100], "action": "keep"}]
    text = build(data, tmp_path).read_text()
    assert 'viewBox="0 64 1600 600"' in text
    assert 'transform="translate(800 0)"' in text


def test_the_track_is_cut_at_the_antimeridian():
    points = [{"lat_deg": 0.0, "lon_deg": lon} for lon in (170.0, 179.0, -179.0, -170.0)]
    assert track_path(points) == "M350,90L359,90M1,90L10,90"


def test_no_coastline_runs_across_the_map():
    for ring in land_path().split("M")[1:]:
        points = [tuple(map(float, pair.split(","))) for pair in ring.rstrip("Z").split("L")]
        assert all(0 <= x <= 360 and 0 <= y <= 180 for x, y in points)
        for one, two in itertools.pairwise(points):
            along_the_pole = one[1] == two[1] == 180  # the lower edge of Antarctica
            assert abs(one[0] - two[0]) < 180 or along_the_pole


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (b"\x89PNG\r\n", "data:image/png;base64,"),
        (base64.b64encode(b"\xff\xd8\xff").decode(), "data:image/jpeg;base64,"),
        (b"<svg onload=alert(1)>", ""),
        ("no base64!", ""),
    ],
)
def test_only_pictures_become_data_uris(picture, expected):
    assert data_uri(picture).startswith(expected) and bool(data_uri(picture)) == bool(expected)


def test_wilson_interval_matches_published_values():
    low, high = wilson(15 / 20, 20)  # 0.531 .. 0.888
    assert (round(low, 3), round(high, 3)) == (0.531, 0.888)
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_accuracy_shows_the_blind_model_beside_it():
    text = accuracy(sample_run.sample())
    assert "74 %" in text and "blind 41 %, n = 19" in text


def test_numbers_and_escapes():
    assert esc('<&">\x1b') == "&lt;&amp;&quot;&gt;\ufffd"
    assert [size(n) for n in (0, 12_345, 4.2e9)] == ["0 B", "12.3 kB", "4.2 GB"]
    assert [span(s) for s in (0.0123, 59.97, 4000)] == ["12 ms", "1 min 00 s", "1 h 06 min"]


def decided(decision, stage, origin="onboard", provisional="", **verdict):
    row = {"stage": stage, "decision": decision, "score": 0.4, "accept": 0.9, "reject": 0.5,
           "stamp_ns": S_NS, **verdict}
    return {"id": "r", "prompt": "What is it?", "answer": "a ship", "status": "final",
            "origin": origin, "provisional": provisional, "verdicts": [row]}  # fmt: skip


def test_three_requests_of_three_kinds_are_explained():
    late = decided("offload", 3, "ground", "a boat")
    requests = [decided("answer", 3), decided("answer", 1), late, decided("offload", 1, "ground")]
    shown = chosen(requests)
    assert [index for index, _ in shown] == [3, 0, 2]
    assert [kind.split()[0] for _, kind in shown] == ["The", "Answered", "Answered"]


def test_the_report_of_a_run_with_heads_explains_three_kinds(tmp_path):
    def weighed(decision, stage, *more, **told):
        return decided(decision, stage, *more, level="regions_1_20", gain=0.2, **told)

    report = sample_run.sample()
    rows = [weighed("answer", 3), weighed("answer", 1), weighed("offload", 3, "ground", "a boat"),
            weighed("offload", 1, "ground"), weighed("offload", 3, "ground", is_late=True)]
    shown = report["requests"][: len(rows)]
    report["requests"] = [one | {k: row[k] for k in ("origin", "provisional", "verdicts")}
                          for one, row in zip(shown, rows, strict=True)]
    assert len(chosen(report["requests"])) == 3
    page = build(report, tmp_path).read_text(encoding="utf-8")
    cards = page.split('class="why"')[1].split("</section>")[0]
    assert re.findall(r"<h3>(.*?)</h3>", cards) == [kind for kind, _ in KINDS[:3]]
    assert cards.count("scores of the heads; pixels as regions_1_20 were weighed") == 3
    assert cards.count("+0.200") == 3 and "fixed thresholds" not in cards


def test_others_stand_in_for_a_kind_that_did_not_occur():
    undecided = decided("answer", 3) | {"verdicts": []}
    requests = [undecided, *(decided("answer", 3) for _ in range(5))]
    assert [index for index, _ in chosen(requests)] == [1, 2, 3]
    assert why([undecided]) == ""


def test_a_kind_is_told_by_the_tap_that_decided():
    early = [decided("offload", 1, "ground"), decided("offload", 2, "ground")]
    late = decided("offload", 3, "ground")
    assert [kind for _, kind in chosen(early)][1] == "One more"
    assert "at the end" in dict(chosen([*early, late]))[2]


def test_a_meter_names_the_tap_of_its_verdict():
    short = decided("answer", 3) | {"confidences": [0.7, 0.8]}
    short["verdicts"].insert(0, decided("continue", 1)["verdicts"][0] | {"score": 0.7})
    told = _meters(short)
    assert "tap 1" in told and "end" in told and "tap 2" not in told


def test_an_explanation_holds_scores_gain_budget_and_plan():
    link = {"planned": 2, "station": "troll", "aos_ns": 61 * S_NS, "los_ns": 400 * S_NS,
            "budget_bytes": 3_000_000, "queued_bytes": 5_000, "capacity_bytes": 4_000_000}
    told = why([decided("offload", 1, "ground", level="lossy", gain=0.31, reason="<worth it>",
                        link=link)])
    for part in ("0.40", "0.90", "0.50", "+0.310", "&lt;worth it&gt;", "pixels as lossy",
                 "3 MB left of 4 MB, 5 kB queued", "troll in 1 min 00 s", "contacts ahead: 2"):
        assert part in told, part


@pytest.mark.parametrize(("gain", "told"), [
    (-0.0004, "0.000"), (-0.0, "0.000"), (0.0004, "0.000"), (-0.0006, "-0.001"), (0.02, "+0.020")])
def test_a_gain_that_rounds_to_nothing_has_no_sign(gain, told):
    cells = why([decided("offload", 1, "ground", level="lossy", gain=gain)])
    assert f"<td>{told}</td>" in cells and "-0.000" not in cells


def test_without_heads_the_thresholds_are_named_and_no_gain():
    told = why([decided("answer", 3, level="", gain=0.0)])
    assert "fixed thresholds; no gain was weighed" in told
    assert "+0.000" not in told
    assert "none known" in told
