"""Sessions as stated: options, memory cap, cancel, record; the cache against arrays."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import load_model, overview_of
from eo_nodes.lvlm.runtime import (
    CancelFlag,
    Cancelled,
    RuntimeOptions,
    cpu_features,
    open_session,
    run_graph,
    run_record,
)
from eo_nodes.lvlm.runtime_cache import CachedDecoder
from eo_nodes.lvlm.runtime_greedy import GreedyPlan, GreedySession, Step

TINY = Path(__file__).resolve().parents[2] / "data" / "lvlm" / "tiny_unified"
RGB = ("red", "green", "blue")
PROMPT = "how many cars are there?"


def view(seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (100, 140, 3), dtype=np.uint8)
    return overview_of(values, RGB, "optical")


def feeds(config, rng):
    """A prompt with visual tokens, then single tokens."""
    none = np.zeros((1, 0, config.width), np.float32)
    visual = rng.normal(size=(1, 5, config.width)).astype(np.float32)
    yield {"tokens": np.array([[2, 7, 3]]), "places": np.arange(3)[None], "visual": visual}
    for place in range(3, 9):
        yield {"tokens": np.array([[place + 5]]), "places": np.array([[place]]), "visual": none}


def test_cache_in_the_runtime_gives_the_bits_of_arrays(model):
    session = open_session(TINY / "decoder.onnx", RuntimeOptions())
    cache, presents = model.new_cache(), list(model.decoder.pairs.values())
    past = {name: value.numpy() for name, value in cache.values.items()}
    for feed in feeds(model.config, np.random.default_rng(1)):
        logits, *arrays = run_graph(session, {**feed, **past}, ["logits", *presents])
        (found,) = model.decoder.run(feed, cache, ("logits",))
        np.testing.assert_array_equal(found, logits)
        past = dict(zip(past, arrays, strict=True))
    for name, array in past.items():
        assert cache.shape(name) == array.shape and 14 in array.shape     # 8 + 6 positions
        np.testing.assert_array_equal(cache.values[name].numpy(), array)


def test_failed_run_leaves_the_cache(model):
    cache = model.new_cache()
    first, second, *_ = feeds(model.config, np.random.default_rng(1))
    model.decoder.run(first, cache, ("logits",))
    before = {name: cache.shape(name) for name in cache.values}
    flag = CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        model.decoder.run(second, cache, ("logits",), flag)
    with pytest.raises(ModelError, match="onnxruntime"):
        model.decoder.run({**second, "tokens": np.array([[10**6]])}, cache, ("logits",))
    assert {name: cache.shape(name) for name in cache.values} == before
    model.decoder.run(second, cache, ("logits",))


def test_pairs_that_the_graph_lacks_are_refused():
    session = open_session(TINY / "decoder.onnx", RuntimeOptions())
    with pytest.raises(ModelError, match="lacks past or presents"):
        CachedDecoder(session, {"past": "presents"})


@pytest.mark.parametrize(("values", "reason"), [
    ({"threads": 0}, "threads"), ({"memory_limit_bytes": -1}, "memory_limit"),
    ({"providers": ()}, "no provider"), ({"provider_options": {"cuda": {}}}, "cuda")])
def test_options_out_of_range_are_refused(values, reason):
    with pytest.raises(ModelError, match=reason):
        RuntimeOptions(**values)


def test_provider_that_is_not_built_in_is_named(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=r"has no CUDAExecutionProvider; it has CPUExecution"):
        open_session(TINY / "decoder.onnx", RuntimeOptions(("cuda", "cpu")))


def test_cuda_arena_gets_the_memory_limit(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers",
                        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    options = RuntimeOptions(("cuda", "cpu"), {"cuda": {"device_id": "1"}}, 2,
                             memory_limit_bytes=5000)
    assert options.resolved() == [
        ("CUDAExecutionProvider", {"device_id": "1", "gpu_mem_limit": "5000"}),
        ("CPUExecutionProvider", {})]


def test_m31_memory_cap_refuses_models():
    with pytest.raises(ModelError, match=r"tiny_unified needs about \d+ bytes, the limit is 1000"):
        load_model(TINY, options=RuntimeOptions(memory_limit_bytes=1000))


def test_session_options_reach_the_runtime():
    options = RuntimeOptions(threads=2, is_spinning=True, memory_limit_bytes=1 << 30)
    used = open_session(TINY / "decoder.onnx", options).get_session_options()
    assert used.intra_op_num_threads == 2 and used.inter_op_num_threads == 1
    assert used.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert not used.enable_cpu_mem_arena
    plain = open_session(TINY / "decoder.onnx", RuntimeOptions()).get_session_options()
    assert plain.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_record_names_what_the_bits_depend_on(model, tmp_path):
    record = model.record.as_dict()
    assert record["providers"] == ["CPUExecutionProvider"] and record["threads"] == 1
    assert record["runtime"].startswith("onnxruntime ") and record["machine"]
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2 fma avx512f other\n")
    assert cpu_features(tmp_path / "cpuinfo") == ("avx2", "avx512f", "fma")
    assert cpu_features(tmp_path / "none") == ()
    session = open_session(TINY / "decoder.onnx", RuntimeOptions())
    assert run_record(session, RuntimeOptions(), tmp_path / "none").cpu_features == ()


def test_greedy_answers_are_the_same_bits_in_another_process_of_the_runtime():
    sessions = []
    for _ in range(2):
        session = load_model(TINY).start([view(4)], PROMPT, max_tokens=20)
        session.decode(20)
        sessions.append(session)
    one, two = sessions
    assert one.token_ids == two.token_ids and one.token_logprobs == two.token_logprobs
    np.testing.assert_array_equal(one.logits, two.logits)
    np.testing.assert_array_equal(one.tap().features, two.tap().features)


def test_cancel_from_another_thread_ends_decoding_within_a_token(model):
    flag, ran = CancelFlag(), []
    slow = Step(np.array([0.0, 1.0], np.float32), np.zeros(2, np.float32))
    asked = threading.Event()

    class Slow(GreedySession):
        def _advance(self, token, index):
            ran.append(index)
            if index == 3:
                threading.Thread(target=lambda: (flag.set(), asked.set())).start()
                assert asked.wait(10)
            return slow

    plan = GreedyPlan(1000, frozenset(), 1.0, str)
    session = Slow(slow, np.ones((1, 1), np.float32), plan=plan, cancel=flag)
    assert session.decode(1000) == 4 and ran == [0, 1, 2, 3]
    assert session.is_cancelled and not session.is_finished and session.decode(5) == 0


def test_grammar_mask_bounds_tokens_and_probabilities():
    step = Step(np.array([5.0, 1.0, 2.0], np.float32), np.zeros(2, np.float32))
    mask = np.array([False, True, True])

    class Bound(GreedySession):
        def _advance(self, token, index):
            return step

        def _allowed(self, ids):
            return mask if len(ids) < 2 else None

    plan = GreedyPlan(3, frozenset(), 1.0, str)
    session = Bound(step, np.ones((1, 1), np.float32), plan=plan)
    session.decode(3)
    assert session.token_ids == [2, 2, 0]
    assert session.token_logprobs[0] == pytest.approx(-np.log(1 + np.exp(-1)))
    assert np.isfinite(session.tap().entropy_mean)


def test_a_session_goes_at_once_with_its_last_reference(model):
    gc.disable()          # its cache is some MB: it must not wait for the collector
    try:
        session = model.start([view()], PROMPT, max_tokens=8)
        session.decode(8)
        gone = weakref.ref(session)
        del session
        assert gone() is None
    finally:
        gc.enable()


def test_logits_that_are_not_finite_are_refused():
    bad = Step(np.array([0.0, np.nan], np.float32), np.zeros(1, np.float32))
    plan = GreedyPlan(3, frozenset(), 1.0, str)
    with pytest.raises(ModelError, match="not finite"):
        GreedySession(bad, np.ones((1, 1), np.float32), plan=plan)
