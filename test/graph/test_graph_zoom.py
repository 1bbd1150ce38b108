"""A task's zoom, from the request through the views to the taps of a model that knows places."""

from pathlib import Path

import numpy as np
import pytest
from calibrated import calibrated
from one_scene import request_of

from eo_nodes.contracts.rules import ZOOM_AS_CONFIGURED, ZOOM_IN, ZOOM_OUT, ZOOM_WHOLE
from eo_nodes.contracts.values import Verdict
from eo_nodes.decision.relevance import RelevanceConfig

DOMAIN = 110
UNIFIED = str(Path(__file__).parents[1] / "data" / "lvlm" / "tiny_unified")
GRID = RelevanceConfig().grid
ZOOMED = ["overview", *["zoom"] * 4]


def asked(folder, zoom):
    """A request for a window of the scene, looked at as closely as ``zoom`` says."""
    return request_of(folder, zoom, "what is at <point 100 200> ?", window=(20, 0, 180, 160),
                      zoom=zoom)


@pytest.mark.parametrize(("zoom", "configured", "kinds"), [
    (ZOOM_AS_CONFIGURED, False, ["overview"]), (ZOOM_AS_CONFIGURED, True, ZOOMED),
    (ZOOM_WHOLE, True, ["overview"]), (ZOOM_IN, False, ZOOMED), (ZOOM_OUT, True, ["overview"])])
def test_the_task_decides_over_the_configuration(bench_of, tmp_path, zoom, configured, kinds):
    from eo_nodes.nodes.compact_lvlm_node import CompactLvlm
    from eo_nodes.nodes.preprocess_node import Preprocess

    bench = bench_of(DOMAIN)
    bench.hear("views")
    bench.hear("tap")
    bench.start(Preprocess, overview_px=96, zoom=configured, state_dir=str(tmp_path))
    bench.start(CompactLvlm, model_dir=UNIFIED, state_dir=str(tmp_path))
    request = asked(tmp_path, zoom)
    bench.say("request", request)
    views = bench.only("views", "request_id", request.id)
    assert [view.kind for view in views.views] == kinds
    assert views.views[0].window == request.window
    tap = bench.only("tap", "request_id", request.id)
    # Relevance is laid out over the overview whatever was zoomed into: its 4 x 4 cells in parts.
    assert (tap.stage, tap.rows, tap.columns) == (1, GRID, GRID)
    assert tap.model_id == "tiny_unified"


@pytest.mark.parametrize(("told", "above", "is_zoomed"), [
    ({"zoom_below": 0.0}, 0.9, False), ({"zoom_below": 0.999}, 0.2, True),
    ({}, 0.1, False), ({}, 0.9, True), ({}, 1.0, True)])
def test_zooms_are_looked_at_when_tap_1_asks(bench_of, tmp_path, told, above, is_zoomed):
    from eo_nodes.nodes.compact_lvlm_node import CompactLvlm
    from eo_nodes.nodes.preprocess_node import Preprocess

    bench = bench_of(DOMAIN)
    for topic in ("views", "tap", "answer"):
        bench.hear(topic)
    bench.start(Preprocess, overview_px=96, state_dir=str(tmp_path))
    # A word costs energy in proportion to what was computed.
    folder = calibrated(tmp_path / "compact", (above, 0.5, 0.5), (0.1, 0.2, 0.2))
    bench.start(CompactLvlm, model_dir=folder, gmac_j=1e3, state_dir=str(tmp_path), **told)
    energy_j = {}
    for zoom in (ZOOM_WHOLE, ZOOM_IN):
        request = asked(tmp_path, zoom)
        bench.say("request", request)
        tap = bench.only("tap", "request_id", request.id)
        assert tap.stage == 1 and 0.1 < tap.confidence < 0.9
        answer = Verdict(request_id=request.id, attempt=1, stage=1, decision=Verdict.ANSWER,
                         score=tap.confidence)  # fmt: skip
        bench.say("verdict", answer)
        energy_j[zoom] = bench.only("answer", "request_id", request.id).energy_j
    first = {tap.request_id: np.array(tap.features) for tap in bench.heard["tap"]}
    # Tap 1 has seen the overview alone in any case.
    assert np.array_equal(first["req-1"], first["req-2"])
    assert (energy_j[ZOOM_IN] > 1.5 * energy_j[ZOOM_WHOLE]) == is_zoomed
