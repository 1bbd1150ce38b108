"""NetCDF decoding that can be stopped: a child process reads bytes and writes samples.

    python -m eo_nodes.imaging.netcdf_child MAX_PIXELS MAX_BYTES < file.nc > samples

Why: damaged HDF5 can make its library loop for ever, and no exception ends that. The child holds
the decoder; whoever starts it sets the time limit. This module starts no process: the node gives
`through_child` a function that does, for example::

    def run(arguments: list[str], data: bytes) -> bytes:
        command = [sys.executable, "-m", "eo_nodes.imaging.netcdf_child", *arguments]
        return subprocess.run(command, input=data, capture_output=True, timeout=20,
                              check=True).stdout

    read_file(path, sensor, limits, netcdf=through_child(run, limits))

Output: length of the head (4 bytes, little endian), head in JSON, samples in C order.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from eo_nodes.contracts.errors import ImageError

from .decoders import Decoded, Guard, decode_netcdf
from .readers import Limits, NetcdfDecoder, guard_size
from .sensors import DTYPES

_LENGTH = struct.Struct("<I")


def through_child(run: Callable[[list[str], bytes], bytes], limits: Limits) -> NetcdfDecoder:
    """A NetCDF decoder for `readers.read_file` that works in a child process.

    Args:
        run: starts this module with arguments and standard input, returns its standard output;
            raises any error when the child fails or takes too long.
    """

    def decode(data: bytes, guard: Guard) -> Decoded:
        try:
            answer = run([str(limits.max_pixels), str(limits.max_bytes)], data)
        except Exception as error:  # what a runner raises is its own affair
            raise ImageError("corrupt", f"NetCDF decoder died: {type(error).__name__}") from error
        return unpack(answer, guard)

    return decode


def pack(data: bytes, limits: Limits) -> bytes:
    """Decode a file and write its samples, or its error, as bytes."""

    def guard(frames: int, height: int, width: int, channels: int, item_bytes: int) -> None:
        guard_size((frames, height, width, channels), item_bytes, limits)

    try:
        decoded = decode_netcdf(data, guard)
        if decoded.values.dtype.name not in (*DTYPES, "float64"):
            raise ImageError("wrong_dtype", f"{decoded.values.dtype}")
    except ImageError as error:
        head = json.dumps({"error": [error.code, error.reason]}).encode()
        return _LENGTH.pack(len(head)) + head
    values = decoded.values
    facts = {**asdict(_without_values(decoded)), "values": [values.dtype.name, *values.shape]}
    head = json.dumps(facts).encode()
    return _LENGTH.pack(len(head)) + head + values.tobytes()


def unpack(answer: bytes, guard: Guard) -> Decoded:
    """Read what `pack` wrote.

    Raises:
        ImageError: as `decode_netcdf`, or ``corrupt`` when the child wrote something else.
    """
    try:
        (length,) = _LENGTH.unpack_from(answer)
        facts = json.loads(answer[_LENGTH.size : _LENGTH.size + length])
        if "error" in facts:
            raise ImageError(*facts["error"])
        name, *shape = facts.pop("values")
        frames, height, width, channels = shape
        guard(frames, height, width, channels, np.dtype(name).itemsize)
        values = np.frombuffer(answer, name, offset=_LENGTH.size + length).reshape(shape)
        for key in ("bands", "geotransform", "footprint"):
            facts[key] = tuple(facts[key])
        return Decoded(values, **facts)
    except (struct.error, ValueError, TypeError, KeyError) as error:
        raise ImageError("corrupt", f"NetCDF decoder answered nonsense: {error}") from error


def _without_values(decoded: Decoded) -> Decoded:
    empty = np.empty(0, np.uint8)
    return Decoded(empty, decoded.bands, decoded.crs, decoded.geotransform, decoded.footprint,
                   decoded.gsd_m, decoded.nodata)  # fmt: skip


def main() -> None:
    """Standard input to standard output."""
    limits = Limits(max_pixels=int(sys.argv[1]), max_bytes=int(sys.argv[2]))
    sys.stdout.buffer.write(pack(sys.stdin.buffer.read(), limits))


if __name__ == "__main__":
    main()
