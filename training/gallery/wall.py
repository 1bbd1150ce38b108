"""What hangs in the gallery: rows E1 to E6, X1 to X6 and G1 to G6, with their questions."""

import time
from dataclasses import dataclass, replace

import numpy as np

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm import slis, spatial_metrics
from eo_nodes.lvlm.infer import EmbedsImages, ImageInput, answer
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.text_space import TextEncoder
from training.evaluation.fixtures import PROJECT
from training.evaluation.readers import plain
from training.evaluation.sets import draw, samples
from training.evaluation.spaces import TEMPLATE
from training.gallery.drawing import feature_colours
from training.gallery.judge import values
from training.gallery.shots import WORLD, Pool, Shot
from training.instruct import phrases
from training.instruct.fetch_layout import read_bands
from training.instruct.nouns import CLASS_NAMES

ABLATIONS = "[the ablation table](ablations.md)"
TERRAIN = PROJECT / "sim" / "assets" / "scenes" / "aster_dem__exploradores_dem.tif"


@dataclass(frozen=True, slots=True)
class Row:
    """One mechanism. text: what it is here; shots: its pictures."""

    name: str
    title: str
    text: str
    shots: list


def _ask(model, images, prompt, **more):
    return answer(model, images, prompt, clock_ns=time.monotonic_ns, max_tokens=64, **more).answer


def _pixel_map(shot):
    """The pixel map of the first image, its strongest components as colours."""
    def extra(model):
        if not hasattr(model, "look_at"):
            return []
        image = shot.images[0]
        _, seen = model.look_at(Picture(image.values[0], image.bands, image.modality), None, None)
        return [feature_colours(seen.pixel[0])]

    return replace(shot, extra=extra)


# -- shots that are no single question ------------------------------------------------------------


def inverse(pool, name):
    """A region is put into words, and the words are grounded again."""
    (i,) = pool.find(name, "referring", "expression")
    shot = pool.shot(i)
    region = next(iter(slis_values(i.prompt)))

    def say(model):
        words = _ask(model, shot.images, i.prompt)
        place = _ask(model, shot.images, f"Where is {words}?")
        found = values(place, slis.Box)
        edges = [np.array([slis.box_xyxy(b)]) for b in (*found[:1], region)]
        overlap = spatial_metrics.box_iou(*edges)[0, 0] if found else 0.0
        return f"{words} -> {place} (IoU {overlap:.2f})", bool(overlap >= 0.5)

    return replace(shot, say=say, truth=f"back at {slis.write_value(region)}",
                   prompt=f"{i.prompt} Then: Where is [the answer]?")


def slis_values(text):
    """Upright boxes of a text."""
    return values(text, slis.Box)


def bands_of(image, chosen, names=None):
    """An image with some of its bands, in any order; names: other names for them."""
    chosen = list(chosen)
    bands = names or tuple(image.bands[c] for c in chosen)
    return replace(image, values=np.ascontiguousarray(image.values[..., chosen]), bands=bands)


def any_bands(pool):
    """One 13-band picture: all bands, shuffled, fewer, others, and one without a wavelength."""
    (shot,) = pool.shots("eurosat_ms", "classification", "class")
    (image,) = shot.images
    order = np.random.default_rng(5).permutation(len(image.bands))
    told = [n for n, b in enumerate(image.bands) if b.split()[0] in ("B05", "B07", "B8A", "B11")]

    def shuffled(model):
        first, second = (_ask(model, [i], shot.prompt) for i in (image, bands_of(image, order)))
        return second, plain(first) == plain(second)

    def nameless(model):
        try:
            said = _ask(model, [bands_of(image, (3, 2), ("B04 665nm", "band x"))], shot.prompt)
        except EoError as fault:
            return f"refused: {fault}", True
        return said, False

    return [
        replace(shot, remark="all 13 bands"),
        replace(shot, say=shuffled, truth="the same as in order", images=(bands_of(image, order),),
                remark="bands and wavelengths in another order"),
        replace(shot, images=(bands_of(image, told),), remark="four bands: 705, 783, 865, 1610 nm"),
        replace(shot, say=nameless, truth="a refusal", images=(bands_of(image, (3, 2)),),
                remark="a band that has no wavelength"),
    ]


def _vectors(model, images):
    if not isinstance(model, EmbedsImages):
        raise EoError("this model has no language space")
    return np.stack([model.embed_image(i.values, i.bands, i.modality) for i in images])


def _chips(pool, name):
    return samples(pool.library, name, "test")


def retrieval(pool, many=2):
    """A reference sentence looks for its picture among the chips of the set."""
    chips = _chips(pool, "aid_rsicd")
    shots = []
    for own in sorted(range(len(chips)), key=lambda n: draw(f"find:{chips[n].id}"))[:many]:
        sentence = chips[own].facts["captions"][0]

        def say(model, own=own, sentence=sentence):
            scores = _vectors(model, [c.images[0] for c in chips]) @ TextEncoder().embed_text(
                [sentence])[0]
            order = np.argsort(-scores)
            rank = int(np.where(order == own)[0][0]) + 1
            first = CLASS_NAMES["aid_rsicd"][chips[order[0]].facts["label"]]
            return f"rank {rank}; first: a picture of the class {first}", rank == 1

        shots.append(Shot(chips[own].images, f"find: {sentence}", f"rank 1 of {len(chips)}",
                          lambda said: None, say=say))
    return shots


def by_name(pool, name, many=2):
    """The class whose sentence lies nearest to the picture, among all of the set."""
    chips = sorted(_chips(pool, name), key=lambda c: draw(f"name:{c.id}"))[:many]
    names = sorted(set(CLASS_NAMES[name].values()))
    shots = []
    for chip in chips:
        true = CLASS_NAMES[name][chip.facts["label"]]

        def say(model, chip=chip, true=true):
            texts = TextEncoder().embed_text([TEMPLATE.format(name=n) for n in names])
            scores = texts @ _vectors(model, chip.images[:1])[0]
            best = [names[n] for n in np.argsort(-scores)[:3]]
            return ", ".join(best), best[0] == true

        shots.append(Shot(chip.images[:1], f"nearest of {len(names)} names", true,
                          lambda said: None, say=say))
    return shots


def match(pool):
    """An optical tile with the radar tile of its place, and with another."""
    asked = [pool.find("s1s2_pairs", "vqa", "match", 1, lambda i, w=w: i.answer == w)
             for w in ("yes", "no")]
    return [pool.shot(i) for some in asked for i in some]


def free_form(pool):
    """The same question at a point, a box and a drawn mask of one flooded area or field."""
    (i,) = pool.find("flood_s1", "segmentation", "named")
    shot = pool.shot(i)
    drawn = slis.write_value(slis.mask_from(_coarse(shot.mask == 1)))
    shot = replace(shot, mask=None, truth="water", prompt=phrases.REFER_LAND[4].format(r=drawn),
                   judge=lambda said: "water" in said.lower(), remark="free-form mask")
    return [shot]


def _coarse(mask, cells=12):
    height, width = (v // cells * cells for v in mask.shape)
    return mask[:height, :width].reshape(cells, height // cells, cells, width // cells).mean(
        (1, 3)) > 0.5


def elevation():
    """A terrain model of the demo's scenes; what it shows no label says."""
    height = read_bands(TERRAIN)[0, :256, :256]
    image = ImageInput(height[None, ..., None].astype(np.float32), ("elevation",), "elevation")
    return [Shot((image,), "What does this image show?", "", lambda said: None,
                 remark="metres above the sea; no label")]


def zoomed(pool):
    """Small objects of a large picture: the overview alone, and four parts seen again."""
    def small(i):
        true = [slis.box_xyxy(b) for b in slis_values(i.answer)]
        sides = [min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in true]
        return 3 <= len(sides) <= 12 and max(sides) < 0.1

    shots = pool.shots("objects_rgb", "count", "detect", 1, small)
    return [replace(s, zooms=z, remark=r) for s in shots
            for z, r in ((0, "overview alone"), (4, "zoomed in: four quarters seen again"))]


# -- the rows -------------------------------------------------------------------------------------


def rows(library):
    """Every row with its shots; the same on every machine."""
    p = Pool(library)
    s = p.shots

    def with_kind(value):
        return lambda i: f"<{value}" in i.prompt

    def some(i):
        return not i.answer.startswith("0")

    def bands_are(*names):
        return lambda i: i.bands[0] == names

    return [
        Row("E1", "One autoregressive model",
            "The same weights answer with a word, a number, a sentence and places.",
            s("aid_rsicd", "classification", "class")
            + s("objects_rgb", "count", "count", 1, some)
            + s("aid_rsicd", "caption", "caption")
            + s("objects_rgb", "count", "detect_count", 1, some)),
        Row("E2", "Features of several depths reach the language model",
            "Objects much smaller than a 32-pixel cell. Beside the picture: the map at a quarter "
            "of its size that regions and masks are taken from, its three strongest components as "
            "colours.",
            [_pixel_map(x) for x in s("hit_uav", "count", "detect")
             + s("aerial_video", "grounding", "box_superlative")]),
        Row("E3", "One grammar for places",
            "Box, oriented box, point, polygon, mask and time span as tokens (docs/slis.md).",
            s("objects_rgb", "grounding", "box_superlative") + s(WORLD, "grounding", "oriented")
            + s("trees", "grounding", "point") + s("flood_s1", "segmentation", "polygon")
            + s("flood_s1", "segmentation", "named") + s(WORLD, "temporal", "span")),
        Row("E4", "From optical pictures to other physics",
            "A way to train, not a part of the network: whether these weights had it stands in "
            f"their card, what it brings in {ABLATIONS}. One question across the gap:",
            s("s2_ships", "vqa", "presence") + s("sar_ships", "vqa", "presence")
            + s("hit_uav", "vqa", "presence") + s("flood_s1", "vqa", "presence")),
        Row("E5", "Six inputs and fusion",
            "Optical, SAR, infrared, multispectral, dates, video; then two sensors in one request.",
            s("ucm_multilabel", "classification", "class") + s("mstar", "classification", "class")
            + s("hit_uav", "vqa", "day") + s("eurosat_ms", "classification", "class")
            + s("change_pairs", "change", "segment") + s("aerial_video", "count", "count")
            + s(WORLD, "temporal", "direction") + match(p)
            + s(WORLD, "count", "count", 1, lambda i: i.modality == "fusion")),
        Row("E6", "Instruction data and a procedural world",
            "Questions of the builder on scenes whose numbers training never saw; synthetic.",
            s(WORLD, "vqa", "comp") + s(WORLD, "change", "event") + s(WORLD, "temporal", "season")
            + s(WORLD, "count", "detect_oriented")),
        Row("X1", "Text with points, boxes and drawn masks",
            "What is pointed at is white; several in one request in the last one.",
            s("objects_rgb", "referring", "what", 1, with_kind("point"))
            + s("hit_uav", "referring", "what", 1, with_kind("box")) + free_form(p)
            + s("hit_uav", "referring", "larger")),
        Row("X2", "Pretrained parts",
            "EfficientNet-Lite0 as backbone of both sizes; MiniLM or SmolLM2 as language layers.",
            s("eurosat_rgb", "classification", "class")
            + s("aid_rsicd", "classification", "class")),
        Row("X3", "One stage over all domains",
            "The same weights count in optical, multispectral, SAR and infrared pictures.",
            s("trees", "count", "count") + s("s2_ships", "count", "count")
            + s("sar_ships", "count", "count") + s("hit_uav", "count", "count")),
        Row("X4", "Pixels: masks for words and for places, and the way back",
            "A mask for a word, for a place and for a phrase; then a region is described, and the "
            "description is grounded again.",
            s("flood_s1", "segmentation", "named") + s("flood_s1", "segmentation", "at_point")
            + s(WORLD, "segmentation", "phrase") + [inverse(p, "objects_rgb"),
                                                    inverse(p, "s2_ships")]),
        Row("X5", "Visual prompts on three kinds of sensors",
            "Optical, SAR and infrared, as the builder makes them.",
            s("s2_ships", "referring", "what") + s("sar_ships", "referring", "what")
            + s("hit_uav", "referring", "same_kind")),
        Row("X6", "Levels: scene, region, object, point, relation; zooming",
            "The same question with and without a region; a relation; a point; zooming in.",
            s("aid_rsicd", "vqa", "rural_urban")
            + [p.shot(i) for i in p.pair("objects_rgb", "count_whole", "count_in")]
            + s("hit_uav", "grounding", "box_nearest") + s("indian_pines", "referring", "cover")
            + zoomed(p)),
        Row("G1", "Any bands", "Kernels are made from wavelengths.", any_bands(p)),
        Row("G2", "One language space", "A sentence finds its picture among ten.", retrieval(p)),
        Row("G3", "Teachers of several kinds",
            "A way to train: whether these weights had it stands in their card, what it brings in "
            f"{ABLATIONS}. Teachers see three bands; the model is asked with two SAR bands "
            "and with 200.",
            s("flood_s1", "vqa", "area") + s("indian_pines", "vqa", "comp")),
        Row("G4", "Merging of specialists",
            f"A way to train, too: what it brings stands in {ABLATIONS}. Two sets that would "
            "have their own specialists:",
            s("opensarship", "classification", "class") + s("rsvqa_lr", "vqa", "rsvqa_count")),
        Row("G5", "Sensors of many kinds",
            "Elevation (no set labels it), panchromatic and 120 bands from the world, ship length "
            "from radar.",
            elevation() + s(WORLD, "count", "detect", 1, bands_are("panchromatic"))
            + s(WORLD, "vqa", "presence", 1, lambda i: len(i.bands[0]) > 100)
            + s("opensarship", "vqa", "length")),
        Row("G6", "Classes by their names",
            "No word is decoded: the name whose sentence lies nearest, of all of the set.",
            by_name(p, "eurosat_rgb") + by_name(p, "aid_rsicd")),
    ]
