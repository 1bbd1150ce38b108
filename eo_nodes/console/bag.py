"""MCAP bags with our definitions inside: write serialized messages, read contracts values.

No ROS is needed at either end. Schemas are ``ros2msg`` with all dependencies appended, messages
are CDR, so that any tool for ROS 2 bags reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, make_reader
from mcap.writer import CompressionType, Writer
from mcap_ros2.decoder import DecoderFactory

from eo_nodes import __version__
from eo_nodes.contracts.errors import StorageError

from .msgdef import bundle, definition
from .wire import from_wire

# Chunks are what a reader of a broken file can still take apart: small ones lose less.
_CHUNK_BYTES = 256 * 1024


class BagError(StorageError):
    """A bag cannot be read or written."""


class BagWriter:
    """Write one bag, or a row of files of limited size.

    Args:
        path: ``NAME.mcap``; with `split_bytes` the files are ``NAME_0001.mcap`` and so on.
        split_bytes: start a new file after about so many message bytes; 0 never.
        metadata: kept in each file.
    Raises:
        BagError: a file cannot be made.
    """

    def __init__(
        self, path: Path, *, split_bytes: int = 0, metadata: dict[str, str] | None = None
    ) -> None:
        self._path, self._split_bytes = path, split_bytes
        self._metadata = {"software": f"spaceverse {__version__}", **(metadata or {})}
        self.paths: list[Path] = []
        self._stream: IO[bytes] | None = None
        self._open()

    def _open(self) -> None:
        path = self._path
        if self._split_bytes:
            path = path.with_name(f"{path.stem}_{len(self.paths) + 1:04d}{path.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("wb")
        except OSError as error:
            raise BagError(f"cannot write {path}: {error}") from error
        self.paths.append(path)
        self._writer = Writer(
            self._stream, chunk_size=_CHUNK_BYTES, compression=CompressionType.ZSTD
        )
        self._writer.start(profile="ros2", library=self._metadata["software"])
        self._writer.add_metadata("spaceverse", self._metadata)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._bytes = 0

    def write(self, topic: str, type_name: str, data: bytes, stamp_ns: int) -> None:
        """Append one message.

        Args:
            topic: full ROS name, ``/ground/answer``.
            type_name: ``package/Name`` or ``Name``.
            data: CDR with its encapsulation header.
            stamp_ns: wall clock of publication.
        Raises:
            BagError: the disk refuses it.
        """
        try:
            if self._split_bytes and self._bytes >= self._split_bytes:
                self.close()
                self._open()
            if topic not in self._channels:
                self._channels[topic] = self._register(topic, definition(type_name).name)
                self._counts[topic] = 0
            self._writer.add_message(
                self._channels[topic],
                log_time=stamp_ns,
                publish_time=stamp_ns,
                sequence=self._counts[topic],
                data=data,
            )
        except OSError as error:
            raise BagError(f"cannot write {self.paths[-1]}: {error}") from error
        self._counts[topic] += 1
        self._bytes += len(data)

    def _register(self, topic: str, name: str) -> int:
        full = name.replace("/", "/msg/")
        if full not in self._schemas:
            self._schemas[full] = self._writer.register_schema(
                full, "ros2msg", bundle(name).encode()
            )
        return self._writer.register_channel(topic, "cdr", self._schemas[full])

    def close(self) -> None:
        """Write index and footer. A second call does nothing."""
        if self._stream is not None:
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._stream.close()
            self._stream = None

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def bag_files(path: Path) -> list[Path]:
    """Return the files of a bag: itself, the parts of a split one, or all in a folder.

    Raises:
        BagError: there is none.
    """
    if path.is_dir():
        found = sorted(path.glob("*.mcap"))
    elif path.is_file():
        found = [path]
    else:
        found = sorted(path.parent.glob(f"{path.stem}_[0-9][0-9][0-9][0-9]{path.suffix}"))
    if not found:
        raise BagError(f"no bag at {path}")
    return found


def read_bag(path: Path, topics: Iterable[str] | None = None) -> Iterator[tuple[str, int, Any]]:
    """Read a bag in order of time.

    A file whose end is missing (killed recorder, full disk) is read up to its last whole chunk,
    in order of writing.

    Args:
        path: file, name of a split bag, or folder.
        topics: full names wanted; None for all.
    Yields:
        (topic, wall-clock ns of publication, contracts value; a decoded message where the type is
        not ours).
    Raises:
        BagError: a file is absent or no bag.
    """
    wanted = None if topics is None else list(topics)
    for file in bag_files(path):
        with file.open("rb") as stream:
            yield from _read(stream, file, wanted)


def _read(
    stream: IO[bytes], file: Path, topics: list[str] | None
) -> Iterator[tuple[str, int, Any]]:
    factory = DecoderFactory()
    decoders: dict[int, Any] = {}
    try:
        is_whole = make_reader(stream).get_summary() is not None
    except McapError:
        is_whole = False
    stream.seek(0)
    reader: Any = make_reader(stream) if is_whole else NonSeekingReader(stream)
    order = {} if is_whole else {"log_time_order": False}
    try:
        for schema, channel, message in reader.iter_messages(topics=topics, **order):
            if schema is None:
                continue
            if schema.id not in decoders:
                decoders[schema.id] = factory.decoder_for(channel.message_encoding, schema)
            decoded = decoders[schema.id](message.data)
            name = schema.name.replace("/msg/", "/")
            yield channel.topic, message.log_time, from_wire(name, decoded)
    except McapError as error:
        if is_whole:
            raise BagError(f"{file} is damaged: {error}") from error
        if not decoders:
            raise BagError(f"{file} is no bag: {error}") from error
