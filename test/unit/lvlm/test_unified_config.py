"""The configuration of our family: decoders of one stream and of several."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.counting import Counting, plain
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.told import Classes
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_config import Coarse, Stream, read_unified

TINY = Path(__file__).parents[2] / "data" / "lvlm" / "tiny_unified"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    return tmp_path / "m"


def store(folder, content):
    (folder / "config.json").write_text(json.dumps(content))


def rule(kinds):
    return asdict(plain(kinds))


def two_streams():
    config = read_unified(TINY)
    return replace(config, streams=(Stream(3, 4, 1, 8, 1234), *config.streams))


def test_what_is_written_is_read_back(folder):
    for config in (two_streams(), replace(two_streams(), coarse=Coarse(96, 1.5, 1000))):
        store(folder, config.as_json())
        assert read_unified(folder) == config


def test_what_the_vision_graph_tells_is_read_back(folder):
    config = replace(
        read_unified(TINY), classes=(Classes(0, ("a", "b", "c")),), labels=Classes(3, ("d", "e")),
        counting={"sar": Counting((-4.0, 0.5), (4.0, 1.0), (0.0, -1.0), (0.5, 0.0))},
        listing=(0.3, 0.0), choosing=(True, False) * 4 + (True,))
    store(folder, config.as_json())
    assert read_unified(folder) == config


@pytest.mark.parametrize(("field", "value", "why"), [
    ("classes", [{"at": 3, "names": ["a", "b", "c"]}], "beyond the chances"),
    ("classes", [{"at": -1, "names": ["a"]}], "beyond the chances"),
    ("classes", [{"names": ["a"]}], "at"),
    ("labels", {"at": 5, "names": ["a"]}, "beyond the chances"),
    ("choosing", [True], "choosing"), ("choosing", [1.0] * 9, "choosing"),
    ("listing", [0.3], "listing"), ("listing", [0.3, -0.1], "listing"),
    ("counting", {"sar": rule(1)}, "counting of sar"),
    ("counting", {"sonar": rule(2)}, "counting of sonar"),
    ("counting", {"sar": rule(2) | {"slopes": [1.0, float("nan")]}}, "counting"),
    ("counting", {"sar": rule(2) | {"bias": [1.0, 1.0]}}, "bias"),
    ("counting", {"sar": [1.0]}, "items"),
    ("counting", 3, "items")])
def test_what_cannot_be_told_is_refused_when_the_folder_is_read(folder, field, value, why):
    store(folder, {**read_unified(TINY).as_json(), field: value})
    with pytest.raises(ModelError, match=why):
        read_unified(folder)


def test_a_single_stream_may_stand_beside_the_other_fields(folder):
    content = read_unified(TINY).as_json()
    (stream,) = content.pop("streams")
    store(folder, {**content, **stream, "width": 32})
    assert read_unified(folder) == read_unified(TINY)


def test_sizes_and_costs_are_those_of_all_streams():
    config = two_streams()
    small = config.streams[1]
    assert config.width == 32 + small.width
    assert config.values_per_token == 3 * 2 * 8 + small.values_per_token
    assert config.decoder_macs(2, 10) == (
        2 * 3 * (1234 + 2 * 32 * 10) + small.macs(2, 10)
        + small.width * (small.width + config.vocabulary))


def test_a_missing_or_unknown_field_is_refused(folder):
    content = read_unified(TINY).as_json()
    store(folder, {k: v for k, v in content.items() if k != "words"})
    with pytest.raises(ModelError, match="words"):
        read_unified(folder)
    for streams in ([], [{"layers": 2}], [dict(content["streams"][0], wheels=4)]):
        store(folder, content | {"streams": streams})
        with pytest.raises(ModelError, match="does not fit"):
            read_unified(folder)
    store(folder, content | {"coarse": {"input_size": 96}})
    with pytest.raises(ModelError, match="does not fit"):
        read_unified(folder)
    store(folder, content | {"wheels": 4})
    with pytest.raises(ModelError, match="wheels"):
        read_unified(folder)


def test_the_cache_has_the_shapes_that_the_graph_asks_for(folder, monkeypatch):
    model = UnifiedModel(folder, "", RuntimeOptions())
    cache, (small,) = model.new_cache(), model.config.streams
    assert len(cache.values) == 2 * small.layers
    assert {cache.shape(name) for name in cache.values} == {(1, small.kv_heads, 0, small.head_dim)}
    mixed = {"past.0.key": [1, 3, "past", 64], "past": [2, 2, 1, 4, "past", 8]}
    monkeypatch.setattr(model.decoder, "past_shapes", mixed)
    assert model.decoder.empty_shapes == {"past.0.key": (1, 3, 0, 64), "past": (2, 2, 1, 4, 0, 8)}
