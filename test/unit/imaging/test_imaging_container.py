"""The product file: what goes in comes out, and the window is put together again."""

import dataclasses

import numpy as np
import pytest

from eo_nodes.contracts.errors import ImageError
from eo_nodes.contracts.values import Region
from eo_nodes.imaging import codecs
from eo_nodes.imaging.container import (
    ProductHeader,
    code_overview,
    code_region,
    compose,
    overview_scale,
    read_container,
    views_from,
    write_container,
)
from eo_nodes.imaging.prepare import crop, resize, view_array

WINDOW = (16, 8, 64, 48)
HEADER = ProductHeader(
    request_id="req-1", task_id="tsk-1", scene_id="scn-1", prompt="Is there water? 水",
    sensor="s1", modality="sar", place="Segura", capture_ns=1_700_000_000_000_000_000,
    window=WINDOW, zoom=2, frames=1, dtype="int16", band_names=("VV", "VH"), gsd_m=10.0,
    visual_prompts=(("point", (3.0, 4.5), "here"),),
    raw_bytes=64 * 48 * 4,
)  # fmt: skip


def frame():
    return np.random.default_rng(11).integers(-3000, 3000, (1, 80, 100, 2), dtype=np.int16)


def product(codec="htj2k"):
    pixels = frame()
    regions = [
        code_region(pixels, Region(window=(16, 8, 32, 48), action="keep", scale=1.0), codec=codec),
        code_region(pixels, Region(window=(48, 8, 32, 24), action="downsample", scale=0.5)),
        code_region(pixels, Region(window=(48, 32, 32, 24), action="drop", relevance=0.1)),
    ]
    overview = codecs.encode(resize(crop(pixels, WINDOW), 12, 16))
    return write_container(HEADER, overview, regions), regions


def test_header_and_regions_come_back():
    data, regions = product()
    content = read_container(data)
    assert content.header == HEADER
    assert [part.region for part in content.regions] == [part.region for part in regions]
    assert [part.region.coded_bytes > 0 for part in content.regions] == [True, True, False]


@pytest.mark.parametrize("codec", codecs.CODECS)
def test_kept_pixels_are_the_pixels_of_the_scene(codec):
    mosaic = compose(read_container(product(codec)[0]))
    window = crop(frame(), WINDOW)
    assert mosaic.shape == window.shape and mosaic.dtype == window.dtype
    assert np.array_equal(mosaic[:, :, :32], window[:, :, :32])
    assert not np.array_equal(mosaic[:, :24, 32:], window[:, :24, 32:])


def test_dropped_region_shows_the_overview():
    pixels = frame()
    mosaic = compose(read_container(product()[0]))
    overview = resize(resize(crop(pixels, WINDOW), 12, 16), 48, 64)
    assert np.array_equal(mosaic[:, 24:, 32:], overview[:, 24:, 32:])


def test_overview_is_within_a_510th_of_its_range():
    frame_db = np.random.default_rng(6).normal(-12, 5, (1, 90, 120, 2)).astype(np.float32)
    window = (10, 5, 100, 80)
    shown = codecs.decode(code_overview(frame_db, window, longest_px=50))
    wanted = resize(crop(frame_db, window), 40, 50)
    assert shown.shape == (1, 40, 50, 2)
    assert np.abs(shown - wanted).max() <= (wanted.max() - wanted.min()) / 510 + 1e-5
    assert len(code_overview(frame_db, window, longest_px=50)) < 1.25 * wanted.size


def test_refinement_lies_over_the_first_product():
    part = code_region(frame(), Region(window=(48, 32, 32, 24), action="keep", scale=1.0))
    later = read_container(write_container(HEADER, b"", [part]))
    mosaic = compose(read_container(product()[0]), later)
    assert np.array_equal(mosaic[:, 24:, 32:], crop(frame(), WINDOW)[:, 24:, 32:])


def test_views_for_the_ground_model():
    views = views_from(read_container(product()[0]), overview_px=32, zoom=True)
    assert [view.kind for view in views] == ["overview", *["zoom"] * 4]
    assert view_array(views[0]).shape == (1, 24, 32, 2)
    assert views[1].window == (16, 8, 32, 24)


@pytest.mark.parametrize(("zoom", "is_known"), [(0, True), (3, True), (4, False), (-1, False)])
def test_the_zoom_of_a_task_comes_back(zoom, is_known):
    data = write_container(dataclasses.replace(HEADER, zoom=zoom), b"", ())
    if is_known:
        assert read_container(data).header.zoom == zoom
        return
    with pytest.raises(ImageError, match=f"zoom {zoom}"):
        read_container(data)


def test_every_cut_is_refused():
    data = product()[0]
    for length in range(len(data)):
        with pytest.raises(ImageError):
            read_container(data[:length])


def test_a_file_that_a_pass_broke_off_shows_what_came_best_first():
    pixels = np.cumsum(frame() // 100, axis=1).astype(np.int16)
    windows = [(16, 8, 32, 48), (48, 8, 32, 48)]
    parts = [code_region(pixels, Region(window=w, action="keep", scale=1.0),
                         codec="jpeg2000_layers") for w in windows]  # fmt: skip
    overview = codecs.encode(resize(crop(pixels, WINDOW), 12, 16))
    data = write_container(HEADER, overview, parts)
    window = crop(pixels, WINDOW).astype(float)
    body = len(parts[1].data) - codecs.head_length(parts[1].data)  # heads lie in front
    second = len(data) - body
    errors = []
    for length in (second, second + body // 2, len(data)):
        content = read_container(data[:length], is_cut=True)
        mosaic = compose(content)
        assert np.array_equal(mosaic[:, :, :32], window[:, :, :32])
        errors.append(np.abs(mosaic - window).mean())
    assert errors[0] > errors[1] > errors[2] == 0
    gone = read_container(data[:second], is_cut=True).regions[1].region
    assert (gone.action, gone.coded_bytes) == ("drop", 0)


def test_a_cut_in_the_head_or_without_layers_is_no_content_made_up():
    data, parts = product()
    with pytest.raises(ImageError):
        read_container(data[:40], is_cut=True)
    content = read_container(data[:-1], is_cut=True)
    assert [bool(part.data) for part in content.regions] == [True, False, False]
    assert len(parts[1].data) > 0
    with pytest.raises(ImageError):
        read_container(data + b"x", is_cut=True)


def test_a_further_small_block_costs_little_beside_its_samples():
    pixels = np.cumsum(frame() // 400, axis=2).astype(np.int16)
    windows = [(x, y, 16, 16) for y in (8, 24, 40) for x in (16, 32, 48, 64)]
    parts = [code_region(pixels, Region(window=w, action="keep", scale=1.0), wavelet_step=500.0)
             for w in windows]
    one, all_of_them = (len(write_container(HEADER, b"", part)) for part in (parts[:1], parts))
    samples = sum(len(p.data) - codecs.head_length(p.data) for p in parts[1:])
    heads = sum(codecs.head_length(p.data) for p in parts[1:])
    assert all_of_them - one - samples < 0.25 * heads
    assert [p.data for p in read_container(write_container(HEADER, b"", parts)).regions] == [
        p.data for p in parts]


@pytest.mark.parametrize("codec", codecs.CODECS)
def test_the_head_of_a_block_ends_where_its_data_begins(codec):
    blob = codecs.encode(frame(), codec)
    length = codecs.head_length(blob)
    assert codecs.HEAD_BYTES <= length < 300 + codecs.HEAD_BYTES
    is_stream = codec not in ("png", "raw")
    assert is_stream == (blob[length - 2 : length] == b"\xff\x93")
    assert codecs.head_length(b"") == 0


def test_a_quality_step_is_in_the_codecs_name():
    region = Region(window=(16, 8, 64, 48), action="keep", scale=1.0)
    part = code_region(frame(), region, wavelet_step=120.0)
    assert part.region.codec == "htj2k/120" and not part.region.is_exact
    assert code_region(frame(), region).region.is_exact
    content = read_container(write_container(HEADER, b"", [part]))
    assert content.regions[0].region.codec == "htj2k/120"
    assert np.abs(compose(content) - crop(frame(), WINDOW).astype(float)).mean() < 240


def test_every_flipped_byte_is_refused():
    data = product()[0]
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x40
        if at in (5, 6, 7):  # padding of the prefix
            continue
        with pytest.raises(ImageError):
            read_container(bytes(broken))


def test_window_of_a_small_file_must_not_claim_the_memory():
    header = dataclasses.replace(HEADER, window=(0, 0, 65535, 65535))
    content = read_container(write_container(header, b"", []))
    with pytest.raises(ImageError) as caught:
        compose(content)
    assert caught.value.code == "too_large"


def test_header_bomb_is_refused():
    header = dataclasses.replace(HEADER, prompt="x" * (8 << 20))
    with pytest.raises(ImageError):
        read_container(write_container(header, b"", []))


def test_region_outside_the_window_is_refused():
    part = code_region(frame(), Region(window=(0, 0, 8, 8), action="keep", scale=1.0))
    with pytest.raises(ImageError) as caught:
        read_container(write_container(HEADER, b"", [part]))
    assert caught.value.code == "corrupt"


def test_products_of_different_windows_do_not_compose():
    other = dataclasses.replace(HEADER, window=(0, 0, 64, 48))
    contents = [read_container(write_container(h, b"", [])) for h in (HEADER, other)]
    with pytest.raises(ImageError):
        compose(*contents)


def test_the_overview_says_how_large_it_is():
    data, regions = product()
    assert overview_scale(read_container(data)) == 0.25
    assert overview_scale(read_container(write_container(HEADER, b"", regions))) == 0.0
    whole = codecs.encode(crop(frame(), WINDOW))
    assert overview_scale(read_container(write_container(HEADER, whole, regions))) == 1.0
