"""Frozen teachers of different kinds, what each may look at, and what it says of a batch.

After MaKA of GeoLangBind (arXiv 2503.06312). A teacher sees what it was made for: the picture
networks three channels (`three_channels`), Galileo only Sentinel bands as physical values, the
despeckler only radar, the language teacher only captions. Where it has nothing to say of a batch it
gives None. All inputs come from the batch itself, so teacher and pupil see the same crop.
"""

import zlib

import torch
from torch import nn
from torch.nn import functional

from eo_nodes.lvlm.spectrum import parse_bands
from training.vision import teacher_nets
from training.vision.lite import pretrained_trunk

SENTINEL_2 = ("eurosat_rgb", "eurosat_ms", "s2_ships", "s1s2_pairs")
S1_DECIBEL = {"VV": (-25.0, 0.0), "VH": (-32.0, -5.0)}       # as `spectrum.normalise` scales them
_TOP = 0.3                                                   # reflectance at level 1, likewise
_S2_CENTRES = {"B2": 492, "B3": 560, "B4": 665, "B5": 704, "B6": 741, "B7": 783, "B8": 835,
               "B8A": 865, "B11": 1612, "B12": 2198}
_VISIBLE = (665.0, 560.0, 490.0)
_NEAR_NM = 40.0


def three_channels(bands, seed=0):
    """Indices of the three bands a picture network is shown, red first where there is one.

    Visible red, green and blue where all three exist; a single band, or radar, one repeated;
    else three drawn from all bands, longest wavelength first.
    """
    if len(bands) == 1:
        return [0, 0, 0]
    draw = torch.Generator().manual_seed(seed)
    if any(b.kind == "sar" for b in bands):
        return [int(torch.randint(len(bands), (1,), generator=draw))] * 3
    near = [min(range(len(bands)), key=lambda i: abs(bands[i].centre_nm - nm)) for nm in _VISIBLE]
    if all(abs(bands[i].centre_nm - nm) <= _NEAR_NM
           for i, nm in zip(near, _VISIBLE, strict=True)):
        return near
    drawn = torch.randperm(len(bands), generator=draw)[:3].tolist()
    drawn += [drawn[-1]] * (3 - len(drawn))
    return sorted(drawn, key=lambda i: -bands[i].centre_nm)


def levels(x):
    """Network input -> [0, 1], undoing the scale of `spectrum.normalise`."""
    return (x * 0.502 + 0.498).clamp(0, 1)


def reflectance(x):
    """Network input of a Sentinel-2 band -> reflectance x 10000, undoing `spectrum.normalise`.

    Eight-bit renderings are taken to span the same range, which holds only roughly.
    """
    level = levels(x)
    bright = 0.8 - 0.2 * ((1 - level).clamp_min(0.02) / 0.2).log()
    return torch.where(level < 0.8, level, bright) * _TOP * 10_000


def _resized(x, height, width):
    return functional.interpolate(x, (height, width), mode="bilinear", align_corners=False,
                                  antialias=x.shape[2] > height)


class Teacher(nn.Module):
    """name; stride: of the pupil's map it is compared with, 0 for whole pictures; dim: of what it
    says; weight: of its loss. `forward(batch)` -> (N, dim, h, w), (N, dim), or None."""

    name, stride, dim, weight = "", 16, 0, 1.0

    def __init__(self):
        super().__init__()
        self.bands = {}

    def parsed(self, batch):
        key = tuple(batch["bands"])
        if key not in self.bands:
            self.bands[key] = parse_bands(key)
        return self.bands[key]

    def picture(self, batch):
        """(N, 3, H, W) as the pupil's input is scaled."""
        seed = zlib.crc32("".join(batch["samples"]).encode())
        return batch["x"][:, three_channels(self.parsed(batch), seed)]


class Lite2(Teacher):
    """EfficientNet-Lite2 (ImageNet labels), its map at stride 16."""

    name, dim = "lite2", 120

    def __init__(self, data=None):
        super().__init__()
        trunk = pretrained_trunk("lite2")
        end = [i for i, b in enumerate(trunk.blocks) if b.depthwise.stride == 2][-1]
        self.layers = nn.Sequential(trunk.stem, *trunk.blocks[:end])

    def forward(self, batch):
        return self.layers(self.picture(batch))


class Vit(Teacher):
    """ViT-S/14 (self-supervised), the mean of blocks 6 to 8, one token for 16 px of the pupil."""

    name, dim = "vit", teacher_nets.VitS14.WIDTH
    MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, data=None):
        super().__init__()
        self.net = teacher_nets.load_vit()
        for name, value in (("mean", self.MEAN), ("std", self.STD)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1))

    def forward(self, batch):
        x = self.picture(batch)
        x = _resized(levels(x), x.shape[2] // 16 * 14, x.shape[3] // 16 * 14)
        return self.net((x - self.mean) / self.std)


class GalileoNano(Teacher):
    """Galileo nano (self-supervised on Sentinel-1, Sentinel-2 and more): the band groups that a
    batch holds as a whole. The month is not known: July. The scale enters its place codes only and
    is taken as 10 m."""

    name, dim = "galileo", teacher_nets.Galileo.WIDTH

    def __init__(self, data=None):
        super().__init__()
        if data is None:
            raise ValueError("galileo needs the data folder: its file lies in teachers/")
        self.net = teacher_nets.Galileo(data / "teachers" / teacher_nets.Galileo.FILE)

    def groups(self, batch):
        """{group: (N, C, H, W)} in physical units; empty where the sensor is another."""
        bands, x = self.parsed(batch), batch["x"]
        if batch["name"] == "flood_s1":
            at = {b.polarisation: i for i, b in enumerate(bands)}
            return {"S1": torch.stack([levels(x[:, at[p]]) * (high - low) + low
                                       for p, (low, high) in S1_DECIBEL.items()], 1)}
        if batch["name"] not in SENTINEL_2:
            return {}
        at = {}
        for name, nm in _S2_CENTRES.items():
            i = min(range(len(bands)), key=lambda i, nm=nm: abs(bands[i].centre_nm - nm))
            if bands[i].kind == "optical" and abs(bands[i].centre_nm - nm) < 12:
                at[name] = i
        return {g: reflectance(x[:, [at[b] for b in members]])
                for g, members in self.net.GROUPS.items() if all(b in at for b in members)}

    def forward(self, batch):
        groups = self.groups(batch)
        if not groups:
            return None
        # Half the size, patches of 8: one token for 16 px of the pupil.
        height, width = (side // 2 for side in batch["x"].shape[2:])
        return self.net({g: self.net.normalise(_resized(v, height, width), g)
                         for g, v in groups.items()})


class Sar2Sar(Teacher):
    """SAR2SAR: the radar picture without its speckle, 4 x 4 px a vector, against the pixel map."""

    name, stride, dim = "sar2sar", 4, 16
    SETS = ("mstar", "opensarship", "sar_ships", "flood_s1")
    ENLARGED = ("mstar", "opensarship", "flood_s1")      # fed at about twice their own pixels

    def __init__(self, data=None):
        super().__init__()
        self.net = teacher_nets.load_despeckler()

    def forward(self, batch):
        if batch["name"] not in self.SETS:
            return None
        level = levels(batch["x"][:, :1])
        if batch["name"] == "flood_s1":
            low, high = S1_DECIBEL[self.parsed(batch)[0].polarisation]
            # Decibel to the logarithm of an amplitude; 6 puts land where it was in training.
            log_amplitude = (level * (high - low) + low) / 8.686 + 6
        else:
            log_amplitude = (level * 255 + 1).log()
        low, high = self.net.LOW, self.net.HIGH
        x = (log_amplitude - low) / (high - low)
        height, width = x.shape[2:]
        if batch["name"] in self.ENLARGED:           # speckle is known by its size in pixels
            x = _resized(x, height // 2, width // 2)
        h, w = x.shape[2:]
        clean = self.net(functional.pad(x, (0, -w % 32, 0, -h % 32), mode="replicate"))
        return functional.pixel_unshuffle(_resized(clean[..., :h, :w], height, width), 4)


class MiniLM(Teacher):
    """Sentence vectors (MiniLM) of the captions in a batch: the language-aligned teacher, with
    twice the weight of the others."""

    name, stride, dim, weight = "minilm", 0, 384, 2.0

    def __init__(self, data=None):
        super().__init__()

    def forward(self, batch):
        return batch["text"][batch["text_of"]] if "text" in batch else None


TEACHERS = {t.name: t for t in (Lite2, Vit, GalileoNano, Sar2Sar, MiniLM)}


def load(names, data):
    """Frozen teachers of these names; data: the folder of the sets, for what it carries."""
    return [TEACHERS[n](data).eval().requires_grad_(False) for n in names]
