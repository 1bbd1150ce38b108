"""Views: the right window, the right size, native bands."""

import numpy as np
import pytest

from eo_nodes.contracts.errors import ConfigError, ImageError
from eo_nodes.contracts.values import Scene, validate
from eo_nodes.imaging.prepare import prepare_views, resize, view_array
from eo_nodes.imaging.readers import RawImage
from eo_nodes.imaging.scenes import scene_of
from eo_nodes.imaging.sensors import Band, Sensor, load_sensors, sensor_for_file


def scene(frame, bands=("a", "b", "c")):
    frames, height, width, count = frame.shape
    return Scene(id="s", sensor="x", modality="temporal", frame_key="k", frames=frames,
                 height=height, width=width, bands=count, dtype=frame.dtype.name,
                 sha256="0" * 64, band_names=bands)  # fmt: skip


def ramp(frames=2, height=300, width=400, bands=3, dtype=np.uint16):
    values = np.arange(frames * height * width * bands, dtype=np.int64) % 5000
    return values.reshape(frames, height, width, bands).astype(dtype)


def test_overview_has_the_windows_shape_and_the_scenes_dtype():
    frame = ramp()
    (view,) = prepare_views(frame, scene(frame), (40, 20, 200, 100), overview_px=50)
    validate(view)
    assert (view.kind, view.window) == ("overview", (40, 20, 200, 100))
    assert view_array(view).shape == (2, 25, 50, 3)
    assert view_array(view).dtype == np.uint16


def test_small_window_is_not_enlarged_nor_changed():
    frame = ramp()
    (view,) = prepare_views(frame, scene(frame), (7, 9, 64, 64))
    assert np.array_equal(view_array(view), frame[:, 9:73, 7:71])


def test_window_is_clipped_to_the_scene_and_empty_means_all():
    frame = ramp()
    assert prepare_views(frame, scene(frame), ())[0].window == (0, 0, 400, 300)
    assert prepare_views(frame, scene(frame), (350, 250, 500, 500))[0].window == (350, 250, 50, 50)
    with pytest.raises(ImageError) as caught:
        prepare_views(frame, scene(frame), (400, 0, 5, 5))
    assert caught.value.code == "empty"


def test_zoom_views_tile_the_window():
    frame = ramp()
    views = prepare_views(frame, scene(frame), (1, 2, 301, 201), overview_px=100, zoom=True)
    assert [v.window for v in views[1:]] == [
        (1, 2, 150, 100), (151, 2, 151, 100), (1, 102, 150, 101), (151, 102, 151, 101),
    ]  # fmt: skip


def test_many_bands_and_every_dtype_resize():
    for dtype in (np.uint8, np.uint16, np.int16, np.float32):
        values = np.full((1, 40, 60, 200), 77, dtype)
        small = resize(values, 13, 17)
        assert small.shape == (1, 13, 17, 200) and small.dtype == dtype
        assert np.allclose(small, 77, atol=1e-3)


def test_shrinking_averages_areas():
    values = np.array([[0, 100], [50, 50]], np.uint16)[None, ..., None]
    assert resize(values, 1, 1).ravel().tolist() == [50]


def test_frame_that_is_not_the_scenes_is_refused():
    frame = ramp()
    with pytest.raises(ImageError):
        prepare_views(frame[:1], scene(frame), ())


def test_scene_counts_bytes_as_stored():
    sensor = Sensor(name="s1", modality="sar", dtype="uint8", bands=(Band("VV"),), valid_min=1,
                    valid_max=255, scale=0.2, offset=-45.0)  # fmt: skip
    raw = RawImage(np.zeros((1, 4, 5, 1), np.float32), ("VV",), (0.0,), 10.0, stored_bytes=20)
    made = scene_of(raw, sensor, scene_id="scn-1", stamp_ns=5, frame_key="k")
    validate(made)
    assert (made.raw_bytes, made.dtype, made.modality) == (20, "float32", "sar")


GOOD = "{name: a, modality: sar, dtype: uint8, valid_min: 0, valid_max: 255, bands: [{name: VV}]}"


@pytest.mark.parametrize(
    "text",
    ["[", "sensors: 3", "sensors: [{modality: sar}]", f"sensors: [{GOOD}, {GOOD}]",
     f"sensors: [{GOOD.replace('sar', 'smell')}]", f"sensors: [{GOOD.replace('uint8', 'int64')}]",
     f"sensors: [{GOOD.replace('[{name: VV}]', '[]')}]",
     f"sensors: [{GOOD.replace('255', '.nan')}]", f"sensors: [{GOOD.replace('255', '-1')}]",
     f"sensors: [{GOOD.replace('name: a', 'name: a__b')}]",
     f"sensors: [{GOOD.replace('dtype', 'type')}]"],
)  # fmt: skip
def test_wrong_sensor_tables_are_refused(text):
    with pytest.raises(ConfigError):
        load_sensors(text)


def test_file_name_names_its_sensor():
    sensors = load_sensors(f"sensors: [{GOOD}]")
    assert sensor_for_file(sensors, "a__b__c.tif") is sensors["a"]
    assert sensor_for_file(sensors, "ab__c.tif") is None
