"""Folders that compute in float16: what is cast, how close they stay, and that they are sealed."""

import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from eo_nodes.lvlm import load_model  # noqa: E402
from eo_nodes.lvlm.runtime import RuntimeOptions, open_session  # noqa: E402
from training.decoder.half import compute_in_half, halve  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from unified_asks import TINY, image, logits  # noqa: E402

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("half") / "tiny"
    halve(TINY, out)
    return out


def test_a_half_folder_loads_and_gives_its_own_golden_answer(folder):
    found, before = load_model(folder), load_model(TINY)
    assert found.id == before.id and found.digest != before.digest
    types = found.decoder.types
    assert {t for n, t in types.items() if n.startswith("past")} == {np.float16}
    assert types["visual"] == np.float32
    with pytest.raises(FileExistsError):
        halve(TINY, folder)


def test_answers_of_a_half_folder_stay_close(folder):
    half, full = load_model(folder), load_model(TINY)
    for seed in range(3):
        found, expected = (logits(m, [image(seed)]) for m in (half, full))
        assert found.dtype == np.float32
        # Of random weights, which amplify rounding; of trained ones it is 0.003.
        assert 0 < np.abs(found - expected).max() < 0.06 * np.ptp(expected)


def test_the_arithmetic_of_a_half_folder_is_float16_but_for_what_needs_more(folder):
    for path in folder.glob("*.onnx"):
        graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
        kinds = {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
        products = [n for n in graph.node if n.op_type in ("MatMul", "Gemm", "Conv")]
        assert TensorProto.FLOAT16 in {kinds.get(n.output[0]) for n in products}
        assert TensorProto.FLOAT not in {kinds.get(n.output[0]) for n in products}
        exact = [n for n in graph.node if n.op_type in ("Softmax", "LayerNormalization")]
        assert TensorProto.FLOAT16 not in {kinds.get(n.output[0]) for n in exact}


def test_weights_in_a_file_of_their_own_are_left_alone(tmp_path):
    weight = np.arange(12, dtype=np.int8).reshape(3, 4)
    scale = np.full(4, 1e-3, np.float32)
    (tmp_path / "w.bin").write_bytes(weight.tobytes() + scale.tobytes())
    given = [TensorProto(name="w", data_type=TensorProto.INT8, dims=(3, 4)),
             TensorProto(name="s", data_type=TensorProto.FLOAT, dims=(4,))]
    for tensor, (offset, length) in zip(given, ((0, 12), (12, 16)), strict=True):
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
    nodes = [helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["wide", "s"], ["weight"]),
             helper.make_node("MatMul", ["x", "weight"], ["y"]),
             helper.make_node("Concat", ["past.0.key", "y"], ["present.0.key"], axis=0)]
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in (
        ("x", [1, 3]), ("past.0.key", ["p", 4]), ("y", [1, 4]), ("present.0.key", ["q", 4]))}
    graph = helper.make_graph(nodes, "g", [values["x"], values["past.0.key"]],
                              [values["y"], values["present.0.key"]], given)
    path = tmp_path / "g.onnx"
    path.write_bytes(helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    compute_in_half(path)
    x = np.array([[1.0, -2.0, 3.0]], np.float32)
    said, cache = open_session(path, RuntimeOptions()).run(
        None, {"x": x, "past.0.key": np.ones((2, 4), np.float16)})
    assert said.dtype == np.float32 and cache.dtype == np.float16 and cache.shape == (3, 4)
    np.testing.assert_allclose(said, x @ (weight * scale), rtol=2e-3)
    assert (tmp_path / "w.bin").stat().st_size == 28
