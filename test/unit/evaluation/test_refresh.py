"""What hangs on a release, made anew in order: what waits for what, what is done, what failed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training import refresh
from training.refresh import Job, Runner, jobs, ready

SETS = ["eurosat_rgb", "trees", "world"]
FINE = ("timeit", "-n1", "-r1", "pass")


@pytest.fixture
def said():
    lines = []
    return lines, lambda text, **_: lines.append(text)


def test_every_command_exists_and_waits_for_what_comes_before():
    todo = jobs(Path("DIR"), SETS)
    names = [job.name for job in todo]
    assert len(set(names)) == len(names)
    for job in todo:
        path = Path(*job.command[0].split("."))
        roots = [root for root in (Path(), Path("sim")) if (root / path).with_suffix(".py").exists()
                 or (root / path / "__main__.py").exists()]
        assert roots, job.command[0]
        assert set(job.needs) <= set(names[:names.index(job.name)]), job.name
    asked = [name for job in todo if job.name.startswith("evaluate")
             for name in job.command[-1].split(",")]
    assert sorted(asked) == sorted(SETS)
    shares = [job.command[-1] for job in todo if job.name.startswith("trace")]
    assert shares == ["1/2", "2/2"]


def test_readme_lists_the_same_commands():
    text = Path("training/README.md").read_text()
    for job in jobs(Path("DIR"), SETS):
        assert job.command[0] in text, job.command[0]


def test_ready_is_what_waits_for_nothing():
    first, second, last = Job("a", ()), Job("b", ()), Job("c", (), ("a", "b"))
    todo = [first, second, last]
    assert ready(todo, set(), {}, set()) == [first, second]
    assert ready(todo, {"a"}, {"b": 0}, set()) == []
    assert ready(todo, {"a", "b"}, {}, set()) == [last]
    assert ready(todo, {"a"}, {}, {"b"}) == []


def test_what_failed_stops_what_needs_it_and_nothing_else(tmp_path, said, monkeypatch):
    lines, say = said
    monkeypatch.setattr(refresh, "POLL_S", 0.01)
    todo = [Job("bad", ("no_such_module_here",)), Job("needs", FINE, ("bad",)),
            Job("good", FINE), Job("after", FINE, ("good",))]
    assert not Runner(tmp_path, "k", 2, say).run(todo)
    assert set(json.loads((tmp_path / "done.json").read_text())) == {"good", "after"}
    assert any("bad: failed" in t and "no_such_module_here" in t for t in lines)
    assert "left: bad, needs" in lines[-1]
    assert not (tmp_path / "needs.log").exists()


def test_a_run_goes_on_and_other_weights_begin_anew(tmp_path, said, monkeypatch):
    lines, say = said
    monkeypatch.setattr(refresh, "POLL_S", 0.01)
    todo = [Job("one", FINE), Job("two", FINE, ("one",))]
    assert Runner(tmp_path, "old", 1, say).run(todo[:1])
    runner = Runner(tmp_path, "old", 1, say)
    assert runner.done == {"one"} and runner.run(todo)
    assert sum("one: python -m" in t for t in lines) == 1
    assert Runner(tmp_path, "new", 1, say).done == set()
    again = Runner(tmp_path, "old", 1, say)
    again.forget(["two"])
    assert again.done == {"one"}


def test_models_that_are_none_are_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(refresh, "Library", lambda _: type("L", (), {"names": SETS}))
    monkeypatch.setattr(refresh, "MODELS", tmp_path)
    with pytest.raises(SystemExit):
        refresh.main(["--data", str(tmp_path)])
    assert "compact holds no manifest.json" in capsys.readouterr().err


def test_what_runs_is_ended_with_the_run(tmp_path, said, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    ended = []
    runner = Runner(tmp_path, "k", 1, said[1])
    monkeypatch.setattr(runner, "_start", lambda _: type(
        "P", (), {"poll": lambda s: None, "terminate": lambda s: ended.append(1),
                "wait": lambda s, _: ended.append(2)})())
    monkeypatch.setattr(refresh.time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        runner.run([Job("one", FINE)])
    assert ended == [1, 2]


def test_what_does_not_end_when_asked_to_is_killed(monkeypatch):
    monkeypatch.setattr(refresh, "GRACE_S", 0.1)
    code = ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "print(1, flush=True); time.sleep(60)")
    deaf = subprocess.Popen([sys.executable, "-c", code],
                            stdout=subprocess.PIPE)
    assert deaf.stdout.read(1) == b"1"
    refresh.end([deaf])
    assert deaf.returncode == -signal.SIGKILL
    deaf.stdout.close()


def test_a_name_that_no_job_has_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(refresh, "Library", lambda _: type("L", (), {"names": SETS}))
    with pytest.raises(SystemExit):
        refresh.main(["--data", str(tmp_path), "--again", "nothing"])
    assert "no job nothing; there are kinds, collect-1" in capsys.readouterr().err


def test_a_run_that_is_ended_from_outside_ends_its_processes(tmp_path):
    """As `kill` and a shutdown end it."""
    code = """
import signal, sys
from pathlib import Path
from training import refresh
from training.refresh import Job
refresh.OUT = Path(sys.argv[1])
refresh.Library = lambda _: type("L", (), {"names": []})
refresh.answers_digest = lambda _: "k"
refresh.jobs = lambda *_: [Job("long", ("timeit", "-n1", "-r1", "import time; time.sleep(60)"))]
refresh.main(["--data", "x"])
"""
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE,
                           text=True)
    assert "long: python -m timeit" in run.stdout.readline()
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    deadline = time.monotonic() + 20
    of = []
    while time.monotonic() < deadline:
        of = children.read_text().split()
        if of and b"timeit" in Path(f"/proc/{of[0]}/cmdline").read_bytes():
            break
        time.sleep(0.05)
    time.sleep(0.5)                           # it is known once its start is over
    run.terminate()
    assert run.wait(20) == 128 + signal.SIGTERM and of
    run.stdout.close()
    assert not Path(f"/proc/{of[0]}").exists()
