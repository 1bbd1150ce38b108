"""The command line: names, help, exit codes, options, JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from eo_nodes.cli import common, parse
from eo_nodes.cli.main import app
from eo_nodes.contracts.errors import CommandRejected, ConfigError, ContractError, StorageError
from eo_nodes.contracts.values import View

COMMANDS = {
    "demo", "up", "ask", "watch", "passes", "queue", "health", "infer", "record", "replay", "diff",
    "models", "embed", "train", "evaluate", "study",
}  # fmt: skip
NOON_NS = 1_791_201_600_000_000_000  # 2026-10-05T12:00:00Z


def run(*arguments: str):
    return CliRunner().invoke(app, arguments)


def names() -> set[str]:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    return commands | {group.name for group in app.registered_groups}


def test_the_commands_are_those_that_exist():
    assert names() == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_has_help_with_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    if command != "models":
        assert "spaceverse" in result.output


def test_completion_is_offered():
    assert "--install-completion" in run("--help").output


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("ask",),
        ("ask", "hi", "--priority", "9"),
        ("ask", "hi", "--area", "1,2,3", "--domain", "99"),
        ("ask", "hi", "--window", "1,2", "--domain", "99"),
        ("passes", "--domain", "999"),
        ("watch", "no_such_topic", "--domain", "99"),
        ("record", "-o", "x.mcap", "--segment", "ground"),
        ("queue", "--namespace", "/nowhere"),
        ("infer",),
        ("infer", "x.png"),
        ("infer", "--prompt", "What?"),
        ("infer", "x.png", "--prompt", "What?", "--batch", "r.jsonl", "--output", "a.jsonl"),
        ("infer", "--batch", "r.jsonl"),
        ("embed", "-o", "v.npy"),
        ("embed", "--text", "river", "-o", "v.txt"),
        ("train", "no_such_stage"),
    ],
)
def test_wrong_usage_is_2(arguments):
    assert run(*arguments).exit_code == common.USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (common.Timeout("late"), 3),
        (ConfigError("no"), 2),
        (ContractError("prompt", "empty"), 2),
        (CommandRejected("unknown opcode"), 1),
        (StorageError("full"), 1),
        (OSError("gone"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(error, code, capsys):
    @common.guarded
    def fails() -> None:
        raise error

    with pytest.raises(Exception) as caught:
        fails()
    assert caught.value.exit_code == code
    said = capsys.readouterr().err
    assert len(said.splitlines()) == (0 if code == 130 else 1)


def test_errors_do_not_drive_the_terminal(capsys):
    common.fail("bad \x1b[2J name")
    assert capsys.readouterr().err == "spaceverse: bad \\x1b[2J name\n"


def test_a_bug_is_not_hidden():
    @common.guarded
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()


def test_nothing_heard_is_3():
    result = run("passes", "--timeout", "0.2", "--domain", "99")
    assert result.exit_code == common.TIMEOUT


def test_nobody_listening_is_1():
    result = run("ask", "hi", "--domain", "99", "--timeout", "1")
    assert result.exit_code == common.FAILED


def test_a_bad_task_is_refused_before_anything_is_sent():
    result = run("ask", "x" * 100_000, "--domain", "99")
    assert result.exit_code == common.USAGE
    assert "100000 characters" in result.output
    result = run("ask", "hi", "--area", "170,10,190,20", "--domain", "99")
    assert result.exit_code == common.USAGE
    assert "off the globe" in result.output


def test_passes_offline_gives_contacts_in_order():
    result = run(
        "passes", "--offline", "--satellite", "sentinel_2a", "--hours", "6", "--json",
        "--start", "2026-10-05T00:00:00Z",
    )  # fmt: skip
    assert result.exit_code == 0
    (plan,) = json.loads(result.output)
    times = [contact["aos_ns"] for contact in plan["contacts"]]
    assert len(times) > 5
    assert times == sorted(times)


def test_passes_offline_of_a_fleet_share_the_stations():
    given = ["--start", "2026-08-28T06:00:00Z", "--hours", "0.5", "--json"]
    for name in ("skybee_1", "sentinel_2a"):
        given += ["--fleet", name]
    result = run("passes", "--offline", *given)
    assert result.exit_code == 0
    first, second = json.loads(result.output)
    assert (first["satellite"], second["satellite"]) == ("skybee_1", "sentinel_2a")
    (waited,) = [c for c in first["contacts"] if c["station"] == "inuvik"]
    (had,) = [c for c in second["contacts"] if c["station"] == "inuvik"]
    assert waited["aos_ns"] == had["los_ns"] + 5 * 10**9
    assert run("passes", "--offline", "--satellite", "hotsat_1", *given).exit_code == common.USAGE


def test_passes_of_an_unknown_satellite_is_2():
    assert run("passes", "--offline", "--satellite", "sputnik").exit_code == common.USAGE


def test_diff_exit_codes(tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    row = {"id": "r", "answer": "yes", "status": "final", "origin": "ground"}
    one.write_text(json.dumps({"requests": [row]}))
    two.write_text(json.dumps({"requests": [{**row, "answer": "no"}]}))
    assert run("diff", str(one), str(one)).exit_code == 0
    result = run("diff", str(one), str(two), "--json")
    assert result.exit_code == common.FAILED
    assert json.loads(result.output)["differences"] == [
        {"kind": "answer", "key": "r", "first": "final ground 'yes'", "second": "final ground 'no'"}
    ]
    assert run("diff", str(one), str(tmp_path / "absent.json")).exit_code == common.FAILED


def test_replay_of_no_bag_is_1(tmp_path):
    assert run("replay", str(tmp_path / "absent.mcap")).exit_code == common.FAILED


def test_json_is_ascii_and_holds_no_pixels(capsys):
    common.print_json({"text": "\x1b[31m船", "view": View(kind="zoom", data=b"123")})
    text = capsys.readouterr().out
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["view"]["data"] == {"bytes": 3}


def test_areas():
    assert parse.area("5,49,6,50") == (5, 49, 6, 49, 6, 50, 5, 50)
    assert parse.area("0,0 1,0 1,1") == (0, 0, 1, 0, 1, 1)
    for wrong in ("6,49,5,50", "1,2,3", "1,2,3,4,5", "a,b,c,d"):
        with pytest.raises(common.UsageError):
            parse.area(wrong)


def test_windows_and_visual_prompts():
    assert parse.window("1, 2, 30, 40") == (1, 2, 30, 40)
    box = parse.visual("box", "1,2,3,4: the ship")
    assert (box.kind, box.xy, box.label) == ("box", (1, 2, 3, 4), "the ship")
    with pytest.raises(common.UsageError, match="2 numbers"):
        parse.visual("point", "1,2,3")


def test_zoom_of_a_task():
    assert [parse.task_zoom(how) for how in ("auto", "none", "in", "out")] == [0, 1, 2, 3]
    with pytest.raises(common.UsageError, match="auto, none, in, out is wanted"):
        parse.task_zoom("wide")
    result = run("ask", "hi", "--zoom", "out", "--place", "harbour", "--domain", "99")
    assert result.exit_code == 2 and "--window or --area is wanted" in result.output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOON_NS + 90 * 10**9),
        ("+1.5h", NOON_NS + 5400 * 10**9),
        ("2d", NOON_NS + 172_800 * 10**9),
        ("2026-10-05T12:00:00Z", NOON_NS),
        ("2026-10-05 12:00", NOON_NS),
        ("2026-10-05T14:00:00+02:00", NOON_NS),
        ("2026-10-05T12:00:00.25Z", NOON_NS + 250_000_000),
    ],
)
def test_moments(text, expected):
    assert parse.moment(text, NOON_NS, "--deadline") == expected


def test_moments_refuse_nonsense():
    with pytest.raises(common.UsageError, match="--deadline 'soon'"):
        parse.moment("soon", NOON_NS, "--deadline")


def test_help_needs_no_heavy_room():
    """The command must start where only the light libraries are, and start quickly."""
    code = (
        "import sys; import eo_nodes.cli.main; "
        "heavy = {'rclpy', 'torch', 'onnxruntime', 'cv2', 'rasterio', 'skyfield', 'cyclonedds'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert done.returncode == 0
