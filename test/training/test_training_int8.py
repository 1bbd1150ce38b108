"""Decoders that compute in int8: close to float32, and as whole folders that pass their test."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from torch import nn  # noqa: E402

from eo_nodes.lvlm.runtime import RuntimeOptions, open_session  # noqa: E402
from training.decoder.int8 import compute_in_int8, quantised  # noqa: E402

pytestmark = pytest.mark.training


class Net(nn.Module):
    """A product behind a transposition, one of a Gemm, one that is too small."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b, self.c = nn.Linear(256, 384), nn.Linear(384, 128), nn.Linear(128, 7)

    def forward(self, x):
        return self.c(self.b(torch.relu(self.a(x))[:, -1]))


@pytest.fixture
def path(tmp_path):
    where = tmp_path / "net.onnx"
    torch.onnx.export(Net().eval(), (torch.zeros(1, 4, 256),), str(where), dynamo=False,
                      opset_version=17, do_constant_folding=False, input_names=["x"],
                      output_names=["y"], dynamic_axes={"x": {1: "t"}})
    return where


def test_weights_come_back_within_half_a_step():
    weight = np.random.default_rng(0).normal(size=(6, 256)).astype(np.float32)
    packed, scale = quantised(weight, 128)
    back = (packed.astype(np.float32) - 128) * scale.reshape(6, 2, 1)
    assert packed.shape == (6, 2, 128) and scale.shape == (12,)
    assert (np.abs(back.reshape(6, 256) - weight) <= scale.repeat(128).reshape(6, 256) / 2 + 1e-6
            ).all()


def test_products_with_large_matrices_are_replaced_and_stay_close(path):
    x = np.random.default_rng(1).normal(size=(1, 5, 256)).astype(np.float32)
    (expected,) = open_session(path, RuntimeOptions()).run(None, {"x": x})
    before = path.stat().st_size
    assert compute_in_int8(path) == 2
    assert path.stat().st_size < 0.35 * before
    kinds = [n.op_type for n in onnx.load(str(path)).graph.node]
    assert kinds.count("MatMulNBits") == 2 and "Transpose" not in kinds
    (found,) = open_session(path, RuntimeOptions()).run(None, {"x": x})
    error = np.abs(found - expected).max()
    assert 0 < error < 0.02 * np.ptp(expected)
    assert np.array_equal(open_session(path, RuntimeOptions()).run(None, {"x": x})[0], found)
