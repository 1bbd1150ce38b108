"""What a task points at: through views and taps on board, the product, and the ground's answer."""

from pathlib import Path

import numpy as np
import pytest
from one_scene import request_of

from eo_nodes.contracts.rules import ZOOM_IN, ZOOM_WHOLE
from eo_nodes.contracts.values import Answer, Verdict, VisualPrompt
from eo_nodes.imaging.container import read_container, views_from
from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.visual_prompts import parse_prompt

DOMAIN = 130
DATA = Path(__file__).parents[1] / "data" / "lvlm"
UNIFIED, WHOLE = str(DATA / "tiny_unified"), str(DATA / "hf_qwen2_vl")
WINDOW = (20, 0, 160, 160)
BOX = VisualPrompt(kind="box", xy=(60.0, 40.0, 100.0, 80.0), label="ships")
POINT = VisualPrompt(kind="point", xy=(140.0, 120.0))
PROMPT, TEXT = "find all ships in a ?", (
    "find all ships <box 128 128 255 255> in a ? <point 384 384>")


def asked(folder, places, name="one", zoom=ZOOM_WHOLE):
    """A request for a window of the scene, with what is pointed at."""
    return request_of(folder, name, PROMPT, window=WINDOW, visual_prompts=places, zoom=zoom)


@pytest.fixture
def board(bench_of, tmp_path):
    from eo_nodes.nodes.compact_lvlm_node import CompactLvlm
    from eo_nodes.nodes.preprocess_node import Preprocess

    bench = bench_of(DOMAIN)
    for topic in ("views", "tap", "product", "answer", "event"):
        bench.hear(topic)
    bench.start(Preprocess, overview_px=96, state_dir=str(tmp_path))
    # Zooms whenever a task wants them, however sure tap 1 is.
    bench.start(CompactLvlm, model_dir=UNIFIED, zoom_below=1.0, state_dir=str(tmp_path))
    return bench


def test_places_reach_the_compact_model_with_and_without_zooms(board, tmp_path):
    taps = {}
    for name, places, zoom in (("none", (), ZOOM_WHOLE), ("two", (BOX, POINT), ZOOM_WHOLE),
                               ("zoomed", (BOX, POINT), ZOOM_IN)):
        request = asked(tmp_path, places, name, zoom)
        board.say("request", request)
        views = board.only("views", "request_id", request.id)
        # The window's coordinates, whatever views of it there are.
        assert views.prompt == (TEXT if places else PROMPT)
        assert views.views[0].window == WINDOW
        taps[name] = board.only("tap", "request_id", request.id)
        verdict = Verdict(request_id=request.id, attempt=1, stage=1, decision=Verdict.OFFLOAD)
        board.say("verdict", verdict)
    features = {name: np.array(tap.features) for name, tap in taps.items()}
    assert np.abs(features["none"] - features["two"]).max() > 1e-3
    assert np.abs(features["zoomed"] - features["two"]).max() > 1e-3
    assert np.abs(features["two"]).max() > 0
    found = [place.kind for place in parse_prompt(TEXT)[1]]
    assert found == ["box", "point"]


@pytest.mark.parametrize(("place", "reason"), [
    (VisualPrompt(kind="point", xy=(10.0, 10.0)), "lies outside the window"),
    (VisualPrompt(kind="box", xy=(60.0, 80.0, 40.0, 90.0)), "out of order")])
def test_a_place_that_cannot_be_meant_is_refused_with_the_reason(board, tmp_path, place, reason):
    request = asked(tmp_path, (BOX, place))
    board.say("request", request)
    assert reason in board.event("PLACE_REFUSED", request.id).text
    answer = board.only("answer", "request_id", request.id)
    assert answer.status == Answer.REFUSED and reason in answer.reason
    assert not board.heard["views"]
    # The next question is served.
    board.say("request", asked(tmp_path, (BOX,), "next"))
    board.only("tap", "request_id", "req-next")


def ground_answer(board, tmp_path, model_dir, places, name):
    """Offload on board; the answer of a ground model of this folder, and the product's bytes."""
    from eo_nodes.nodes.ground_lvlm_node import GroundLvlm

    board.start(GroundLvlm, model_dir=model_dir, overview_px=128, unsure_below=0.0)
    request = asked(tmp_path, places, name)
    board.say("request", request)
    board.only("tap", "request_id", request.id)
    verdict = Verdict(request_id=request.id, attempt=1, stage=1, decision=Verdict.OFFLOAD)
    board.say("verdict", verdict)
    product = board.only("product", "request_id", request.id)
    # The test plays the link: on one bench both segments share a namespace.
    answer = board.until(
        lambda: next((a for a in board.heard["answer"]
                      if (a.request_id, a.origin) == (request.id, "ground")), None),
        "the ground's answer")  # fmt: skip
    return answer, read_container(Path(product.path).read_bytes())


def test_places_reach_the_ground_model_by_the_product(board, tmp_path):
    from eo_nodes.nodes.lvlm_values import tensors_of_views

    answer, content = ground_answer(board, tmp_path, UNIFIED, (BOX, POINT), "ground")
    header = content.header
    assert header.prompt == PROMPT == answer.prompt and header.window == WINDOW
    assert header.visual_prompts == tuple(
        (p.kind, p.xy, p.label) for p in (BOX, POINT))
    views = tensors_of_views(views_from(content, overview_px=128), "optical")
    model = load_model(Path(UNIFIED))

    def said(prompt):
        session = model.start(views, prompt, max_tokens=40)
        session.decode(40)
        return session.text, model.calibration[3].confidence(session.tap())

    text, confidence = said(TEXT)
    assert answer.text == text and answer.confidence[0] == pytest.approx(confidence, rel=1e-4)
    # Otherwise equal answers would show nothing.
    assert said(TEXT) != said(PROMPT)


def test_a_model_that_knows_no_places_answers_the_words_and_says_so(board, tmp_path):
    answer, _ = ground_answer(board, tmp_path, WHOLE, (BOX,), "words")
    assert answer.status == Answer.FINAL
    event = board.event("PLACES_UNREAD", "req-words")
    assert event.source == "ground_lvlm"
    assert answer.prompt == PROMPT
