"""What `sim.make_scenes` cuts and tiles: data only.

Scenes are crops of full scenes; mosaics are laid out from chips of the test splits, which no
training sees. Places, dates and licences come from the cards of the data.
"""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A crop of one file, or of several dates of the same ground.

    Attributes:
        sources: file names, in time order for several dates.
        bands: indices (from 0) to take in this order, None for all; over several dates, of each.
        window: x, y, w, h in pixels of the source, None for all of it.
        kind: format of the file made: tif, jp2, png, jpg (copied as it is), npy, nc.
    """

    name: str
    sensor: str
    sources: tuple[str, ...]
    place: str
    date: str
    source: str
    licence: str
    kind: str
    window: tuple[int, int, int, int] | None = None
    bands: tuple[int, ...] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mosaic:
    """Chips of a test split in a grid of rows x columns, row major.

    Attributes:
        per: index field over which the draw is balanced, empty for a plain draw.
        keep: (field, allowed values) that a chip must have.
    """

    name: str
    sensor: str
    dataset: str
    rows: int
    columns: int
    kind: str
    source: str
    licence: str
    per: str = "label"
    keep: tuple[str, tuple[str, ...]] | None = None


COPERNICUS = "Copernicus Sentinel data terms"
# Sen1Floods11 puts B8A behind B08; the sensor's entry has it last.
_S2_ORDER = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 8)

CROPS = (
    Crop(name="segura_flood_s2", sensor="s2_msi", sources=("flood_spain_s2_13band.tif",),
         place="Segura flood plain, Spain", date="2019-09", kind="tif", bands=_S2_ORDER,
         window=(128, 64, 256, 256), source="Sen1Floods11 sample",
         licence=f"not stated; {COPERNICUS}"),
    Crop(name="germany_s2_10m", sensor="s2_msi_10m", sources=("s2_T33UUB_20170527_10m.tif",),
         place="tile 33UUB, eastern Germany", date="2017-05-27", kind="jp2",
         window=(128, 128, 256, 256), source="lanha/DSen2 data",
         licence=f"GPL-3.0 repository; {COPERNICUS}", note="no georeference in the source"),
    Crop(name="greenland_l8", sensor="landsat8_oli",
         sources=("landsat8_oli_003017_20150101.tif",), place="south-west Greenland",
         date="2015-01-01", kind="tif", window=(128, 128, 256, 256),
         source="xarray-contrib/xarray-spatial", licence="USGS public domain"),
    Crop(name="para_l5", sensor="landsat5_tm",
         sources=("landsat5_tm_224063_19880814_7band.tif",), place="Para, Brazil",
         date="1988-08-14", kind="tif", bands=(0, 1, 2, 3, 4, 6), window=(16, 24, 256, 256),
         source="bleutner/RStoolbox", licence="GPL as stated by the package; USGS data"),
    Crop(name="para_l5_thermal", sensor="landsat5_thermal",
         sources=("landsat5_tm_224063_19880814_7band.tif",), place="Para, Brazil",
         date="1988-08-14", kind="tif", bands=(5,), window=(16, 24, 256, 256),
         source="bleutner/RStoolbox", licence="GPL as stated by the package; USGS data"),
    Crop(name="rotterdam_pan", sensor="worldview_pan", sources=("worldview_pan_rotterdam.tif",),
         place="Rotterdam, Netherlands", date=UNKNOWN, kind="tif", window=(100, 100, 384, 384),
         source="CosmiQ/solaris (SpaceNet)", licence="CC BY-SA 4.0 (not verified)"),
    Crop(name="rotterdam_xband", sensor="sar_xband_quad",
         sources=("sar_xband_quadpol_rotterdam.tif",), place="Rotterdam, Netherlands",
         date=UNKNOWN, kind="npy", window=(36, 36, 128, 128),
         source="CosmiQ/solaris (SpaceNet 6)", licence="CC BY-SA 4.0 (not verified)",
         note="npy carries no georeference"),
    Crop(name="long_beach_planet", sensor="planetscope_rgb",
         sources=("planet_long_beach_rgb.png",), place="San Pedro Bay, California", date=UNKNOWN,
         kind="png", window=(1000, 500, 512, 512), source="rhammell/shipsnet-detector",
         licence="CC BY-SA 4.0 (not verified)", note="place by appearance; no georeference"),
    Crop(name="full_disc_goes", sensor="goes_rgb", sources=("goes_full_disc.tif",),
         place="western hemisphere", date=UNKNOWN, kind="tif",
         source="rasterio/rasterio test data", licence="NOAA public domain"),
    Crop(name="car_park_day", sensor="uav_lwir",
         sources=("uav_thermal_day_1_120_40_0_06004.jpg",), place="not stated",
         date="2020 or 2021", kind="jpg", source="HIT-UAV", licence="CC BY 4.0",
         note="120 m, 40 degrees, day; lies in a training range, no question asks of it"),
    Crop(name="car_park_night", sensor="uav_lwir",
         sources=("uav_thermal_night_0_130_90_0_05723.jpg",), place="not stated",
         date="2020 or 2021", kind="jpg", source="HIT-UAV", licence="CC BY 4.0",
         note="130 m, nadir, night; lies in a training range, no question asks of it"),
    Crop(name="north_dakota_naip", sensor="naip_pair",
         sources=("naip_series_20090818.tif", "naip_series_20200831.tif"),
         place="prairie lakes, North Dakota, USA", date="2009-08-18, 2020-08-31", kind="tif",
         window=(128, 128, 224, 224), source="opengeos/data", licence="USDA public domain",
         note="bands of the first date, then of the second"),
    Crop(name="ucayali_landsat", sensor="landsat_composites",
         sources=("landsat_series_1985.tif", "landsat_series_2000.tif",
                  "landsat_series_2020.tif"), place="Ucayali river at Pucallpa, Peru",
         date="1985, 2000, 2020", kind="nc", window=(160, 96, 192, 192),
         source="opengeos/data", licence="USGS public domain"),
    Crop(name="mato_grosso_modis", sensor="modis_ndvi", sources=("modis_ndvi_12dates.tif",),
         place="Mato Grosso, Brazil (by coordinates)",
         date="2013-09-14, 2013-12-19, 2014-03-22, 2014-06-26",
         kind="nc", bands=(0, 3, 6, 9), source="e-sensing/sits", licence="NASA, free use"),
    Crop(name="exploradores_dem", sensor="aster_dem", sources=("aster_dem_exploradores.tif",),
         place="Exploradores, Patagonia, Chile", date="2012-03", kind="tif",
         window=(128, 160, 256, 256), source="GlacioHack/geoutils-data",
         licence="BSD-3 repository; NASA and METI data"),
)  # fmt: skip

MOSAICS = (
    Mosaic(name="land_s2_rgb", sensor="s2_rgb", dataset="eurosat_rgb", rows=6, columns=6,
           kind="png", source="EuroSAT", licence="MIT"),
    Mosaic(name="land_s2_13band", sensor="s2_msi", dataset="eurosat_ms", rows=4, columns=5,
           kind="jp2", source="EuroSAT MS", licence="MIT"),
    Mosaic(name="places_rgb", sensor="rgb_camera", dataset="aid_rsicd", rows=4, columns=4,
           kind="jp2", source="AID (RSICD split)", licence="unknown, research sample"),
    Mosaic(name="objects_rgb", sensor="rgb_camera", dataset="ucm_multilabel", rows=3, columns=4,
           kind="jp2", source="UC Merced, multi-labels", licence="none stated, research sample"),
    Mosaic(name="vehicles_xband", sensor="sar_xband_chip", dataset="mstar", rows=5, columns=6,
           kind="png", source="MSTAR, 15 degrees", licence="US public release, not verified"),
    Mosaic(name="streets_thermal", sensor="uav_lwir", dataset="hit_uav", rows=4, columns=3,
           kind="jp2", source="HIT-UAV", licence="CC BY 4.0", per="day_night"),
    Mosaic(name="changes_rgb", sensor="rgb_pair", dataset="change_pairs", rows=4, columns=5,
           kind="nc", source="LEVIR-CD, DSIFN", licence="academic, research sample",
           keep=("source", ("levir_cd", "dsifn"))),
)  # fmt: skip

# The tiles of this chip are all there, so they make their scene again, with its georeference.
FLOOD_CHIP = "Spain_7370579"
FLOOD_GRID = 8
FLOOD_PLACE_FROM = "flood_spain_s1_vv_vh.tif"
