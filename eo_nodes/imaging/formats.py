"""What a file says about itself before anything is decoded: format, size, and whether it is whole.

Theory of operation: decoders allocate what a header claims and some deliver a half picture from a
cut file without a word. So the bytes are looked at first: format by its magic bytes, then the
claimed size for PNG, JPEG, JPEG 2000 and npy (TIFF and NetCDF say it when opened, which decodes
nothing), then the end of the file by the structure of the format, and for PNG each chunk's CRC.

Source: PNG (ISO/IEC 15948), JPEG (ITU-T T.81 annex B), JP2 (ISO/IEC 15444-1 annexes A and I),
npy (NEP 1), TIFF 6.0, HDF5 superblock version 0, 2 and 3.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np

from eo_nodes.contracts.errors import ImageError

_PNG = b"\x89PNG\r\n\x1a\n"
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_J2K = b"\xff\x4f\xff\x51"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MAGIC = (
    (_PNG, "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (_JP2, "jp2"),
    (_J2K, "jp2"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\x93NUMPY", "npy"),
    (_HDF5, "netcdf"),
    (b"CDF\x01", "netcdf"),
    (b"CDF\x02", "netcdf"),
)
# Start-of-frame markers: C0 to CF without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def sniff(data: bytes) -> str:
    """Name of the format: png, jpeg, jp2, tiff, npy or netcdf.

    Raises:
        ImageError: ``empty`` or ``unknown_format``.
    """
    if not data:
        raise ImageError("empty", "the file has no bytes")
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if any(magic.startswith(data) for magic, _ in _MAGIC):
        raise ImageError("truncated", f"{len(data)} bytes")
    raise ImageError("unknown_format", f"begins with {data[:8].hex()}")


def png_size(data: bytes) -> tuple[int, int, int]:
    """(height, width, channels) of a PNG whose chunks are all there and match their CRC.

    Raises:
        ImageError: ``truncated`` or ``corrupt``.
    """
    at, size = len(_PNG), (0, 0, 0)
    while True:
        if at + 12 > len(data):
            raise ImageError("truncated", "PNG without its end chunk")
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if not kind.isalpha() or (size == (0, 0, 0) and (kind != b"IHDR" or length != 13)):
            raise ImageError("corrupt", "PNG with a chunk that has no name or no header chunk")
        end = at + 12 + length
        if end > len(data):
            raise ImageError("truncated", f"PNG chunk {kind.decode()} goes past the end")
        if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ImageError("corrupt", f"PNG chunk {kind.decode()} does not match its CRC")
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack_from(">IIBB", data, at + 8)
            # Colour types: grey, RGB, palette (decoded to RGB), grey with alpha, RGB with alpha.
            size = (height, width, {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}.get(colour, 0))
            if size[2] == 0:
                raise ImageError("corrupt", f"PNG colour type {colour}")
        if kind == b"IEND":
            return size
        at = end


def jpeg_size(data: bytes) -> tuple[int, int, int]:
    """(height, width, channels) of a JPEG that ends with its end marker.

    Raises:
        ImageError: ``truncated`` or ``corrupt``.
    """
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            raise ImageError("corrupt", f"JPEG without a marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD7:  # fill byte; restart marker without length
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_SOF:
            height, width, channels = struct.unpack_from(">HHB", data, at + 5)
            # Cut files end without it; cameras may pad with zeros behind it.
            if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
                raise ImageError("truncated", "JPEG without its end marker")
            return height, width, channels
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise ImageError("truncated", "JPEG without a frame header")


def jp2_size(data: bytes) -> tuple[int, int, int]:
    """(height, width, components) from the codestream's size marker; checks the end marker.

    Raises:
        ImageError: ``truncated`` or ``corrupt``.
    """
    start = _codestream(data)
    if data[start : start + 4] != _J2K:
        raise ImageError("corrupt", "JPEG 2000 codestream without its size marker")
    if start + 42 > len(data):
        raise ImageError("truncated", "JPEG 2000 size marker is cut")
    x1, y1, x0, y0 = struct.unpack_from(">IIII", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    if x1 <= x0 or y1 <= y0 or components == 0:
        raise ImageError("empty", f"JPEG 2000 of {x1 - x0} x {y1 - y0} pixels")
    return y1 - y0, x1 - x0, components


def _codestream(data: bytes) -> int:
    """Offset of the codestream, whose end marker must be there."""
    if data.startswith(_J2K):
        if not data.endswith(b"\xff\xd9"):
            raise ImageError("truncated", "JPEG 2000 without its end marker")
        return 0
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = len(data) if length == 0 else at + length
        if length != 0 and length < head:
            raise ImageError("corrupt", f"JP2 box of {length} bytes")
        if end > len(data):
            raise ImageError("truncated", f"JP2 box {kind!r} goes past the end")
        if kind == b"jp2c":
            if data[end - 2 : end] != b"\xff\xd9":
                raise ImageError("truncated", "JPEG 2000 without its end marker")
            return at + head
        at = end
    raise ImageError("truncated", "JP2 without a codestream")


def npy_header(data: bytes) -> tuple[tuple[int, ...], np.dtype[np.generic], bool, int]:
    """(shape, dtype, is Fortran order, offset of the samples) of an npy file that is whole.

    Raises:
        ImageError: ``truncated``, ``corrupt`` or ``wrong_dtype`` (objects).
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, is_fortran, dtype = read[version[0]](stream)
    except Exception as error:  # numpy evaluates the header text, which can fail in many ways
        code = "truncated" if len(data) < 128 else "corrupt"
        raise ImageError(code, f"npy header: {error}") from error
    if dtype.hasobject:
        raise ImageError("wrong_dtype", "npy file of Python objects")
    if any(side < 0 for side in shape):
        raise ImageError("corrupt", f"npy of shape {shape}")
    return shape, dtype, is_fortran, stream.tell()


def is_tiff_cut(data: bytes) -> bool:
    """Whether the first directory of a classic TIFF lies past the end of the file."""
    if len(data) < 8:
        return True
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    if at + 2 > len(data):
        return True
    (entries,) = struct.unpack_from(order + "H", data, at)
    return bool(at + 2 + 12 * entries > len(data))


def is_hdf5_cut(data: bytes) -> bool:
    """Whether an HDF5 file is shorter than its superblock says."""
    if not data.startswith(_HDF5) or len(data) < 48:
        return len(data) < 48
    # End-of-file address: behind base and free-space (version 0) or extension address (2 and 3).
    at = 40 if data[8] == 0 else 28
    (end,) = struct.unpack_from("<Q", data, at)
    return bool(end > len(data))
