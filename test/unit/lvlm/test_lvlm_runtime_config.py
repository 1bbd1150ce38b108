"""Flat options, as parameters and commands hold them, become those of sessions."""

import pytest

from eo_nodes import load_model
from eo_nodes.contracts.errors import ConfigError, ModelError
from eo_nodes.lvlm.runtime import RuntimeOptions
from eo_nodes.lvlm.runtime_config import runtime_options


def test_every_option_reaches_the_sessions():
    found = runtime_options(
        threads=3, providers=["tensorrt", "cuda", "cpu"], memory_mb=2,
        provider_options=["cuda.device_id=1", "tensorrt.trt_fp16_enable=True",
                          "cuda.arena_extend_strategy=kSameAsRequested", ""])
    assert found == RuntimeOptions(
        providers=("tensorrt", "cuda", "cpu"), threads=3, memory_limit_bytes=2 * 2**20,
        provider_options={"tensorrt": {"trt_fp16_enable": "True"},
                          "cuda": {"device_id": "1", "arena_extend_strategy": "kSameAsRequested"}})


@pytest.mark.parametrize("providers", [(), [""]])
def test_nothing_said_is_the_default(providers):
    assert runtime_options(providers=providers, provider_options=providers) == RuntimeOptions()


def test_a_value_may_hold_what_parts_the_others():
    found = runtime_options(providers=["cuda"], provider_options=["cuda.key=a.b=c"])
    assert found.provider_options == {"cuda": {"key": "a.b=c"}}


@pytest.mark.parametrize("text", ["cuda", "cuda.device_id", "device_id=1", ".k=1", "cuda.=1"])
def test_an_option_in_another_form_is_refused(text):
    with pytest.raises(ConfigError, match=r"PROVIDER\.KEY=VALUE"):
        runtime_options(providers=["cuda"], provider_options=[text])


def test_an_option_of_a_provider_that_is_not_asked_for_is_refused():
    with pytest.raises(ModelError, match=r"\['cuda'\], which is no provider here"):
        runtime_options(provider_options=["cuda.device_id=1"])


def test_an_unknown_provider_is_named():
    with pytest.raises(ModelError, match="no provider 'gpu'; known are cpu, cuda, tensorrt"):
        runtime_options(providers=["cpu", "gpu"])


def test_the_python_interface_passes_them_on(monkeypatch):
    seen = []
    monkeypatch.setattr("eo_nodes.api.load_folder", lambda folder, options: seen.append(options))
    load_model(".")
    load_model(".", threads=2, providers=["cuda"], provider_options=["cuda.device_id=1"],
               memory_mb=7)
    assert seen == [RuntimeOptions(), RuntimeOptions(
        ("cuda",), {"cuda": {"device_id": "1"}}, 2, memory_limit_bytes=7 * 2**20)]
