"""What the parameters of a model node say of the runtime is what its sessions are opened with."""

from pathlib import Path

import pytest

from eo_nodes.contracts.errors import ConfigError, ModelError
from eo_nodes.lvlm.runtime import RuntimeOptions

DOMAIN = 148
TINY = str(Path(__file__).parents[1] / "data" / "lvlm" / "tiny_unified")


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


def nodes():
    from eo_nodes.nodes.compact_lvlm_node import CompactLvlm
    from eo_nodes.nodes.ground_lvlm_node import GroundLvlm

    return (CompactLvlm, 1), (GroundLvlm, 2)


def test_parameters_of_both_nodes_reach_the_runtime(bench, monkeypatch):
    seen = []

    def load(folder, options):
        seen.append(options)
        raise ModelError("stops here")

    monkeypatch.setattr("eo_nodes.nodes.lvlm_values.load_model", load)
    told = {"providers": ["cuda", "cpu"], "provider_options": ["cuda.device_id=1"], "memory_mb": 9}
    for cls, threads in nodes():
        for values in ({}, told):
            with pytest.raises(ModelError, match="stops here"):
                bench.make(cls, model_dir=TINY, **values).configure()
        assert seen[-2:] == [RuntimeOptions(threads=threads), RuntimeOptions(
            ("cuda", "cpu"), {"cuda": {"device_id": "1"}}, threads,
            memory_limit_bytes=9 * 2**20)]


@pytest.mark.parametrize(("values", "kind", "said"), [
    ({"providers": ["gpu"]}, ModelError, "no provider 'gpu'"),
    ({"provider_options": ["cuda:1"]}, ConfigError, "PROVIDER.KEY=VALUE"),
    ({"memory_mb": 1}, ModelError, "the limit is 1048576"),
])
def test_what_cannot_be_is_an_event_that_says_why(bench, values, kind, said):
    bench.hear("event")
    node = bench.make(nodes()[0][0], model_dir=TINY, **values)
    with pytest.raises(kind):
        node.configure()
    assert bench.event("MODEL_REFUSED", said)
