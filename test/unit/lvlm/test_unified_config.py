"""The configuration of our family: both sizes, and files written before they differed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.unified import UnifiedModel
from eo_nodes.lvlm.unified_config import read_unified

TINY = Path(__file__).parents[2] / "data" / "lvlm" / "tiny_unified"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(TINY, tmp_path / "m")
    return tmp_path / "m"


def store(folder, content):
    (folder / "config.json").write_text(json.dumps(content))


def test_what_is_written_is_read_back(folder):
    config = replace(read_unified(TINY), kv_heads=1, layer_macs=1234)
    store(folder, config.as_json())
    assert read_unified(folder) == config


def test_a_file_without_the_newer_fields_means_plain_attention(folder):
    content = read_unified(TINY).as_json()
    del content["kv_heads"], content["layer_macs"]
    store(folder, content)
    config = read_unified(folder)
    assert (config.kv_heads, config.layer_macs) == (config.heads, 12 * config.width**2)


def test_a_missing_or_unknown_field_is_refused(folder):
    content = read_unified(TINY).as_json()
    store(folder, {k: v for k, v in content.items() if k != "heads"})
    with pytest.raises(ModelError, match="heads"):
        read_unified(folder)
    store(folder, content | {"wheels": 4})
    with pytest.raises(ModelError, match="wheels"):
        read_unified(folder)


def test_folders_whose_cache_is_one_piece_are_taken_as_well(folder, monkeypatch):
    model = UnifiedModel(folder, "", RuntimeOptions())
    whole = SimpleNamespace(pairs={"past": "present"}, empty=dict)
    monkeypatch.setattr(model, "decoder", whole)
    c = model.config
    assert model.new_cache() == {"past": (c.layers, 2, 1, c.kv_heads, 0, c.head_dim)}


def test_the_cache_has_the_shared_heads(folder):
    store(folder, replace(read_unified(TINY), kv_heads=1).as_json())
    model = UnifiedModel(folder, "", RuntimeOptions())
    c = model.config
    cache = model.new_cache()
    assert len(cache.values) == 2 * c.layers
    assert {cache.shape(name) for name in cache.values} == {(1, 1, 0, c.head_dim)}
    assert c.values_per_token == 2 * c.layers * c.head_dim
