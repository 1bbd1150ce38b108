"""The archive on the ground: answers, products, scenes and events, searchable and exportable.

Bodies lie in tables with a CRC per row; the search index beside them (FTS5 over prompt and
text, boxes, times, modality) is derived from them. Text of the model and of askers is data
here: words of a search are quoted, never parsed as a query language.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.rules import outline
from eo_nodes.contracts.values import Answer, Event, Product, Scene

from .codec import encode, to_plain
from .database import Database
from .files import Files, write_durably
from .records import RecordTable

_INDEX = (
    "CREATE TABLE IF NOT EXISTS answer_index(row INTEGER PRIMARY KEY, id TEXT UNIQUE, "
    "scene_id TEXT, request_id TEXT, status INTEGER, stamp_ns INTEGER, capture_ns INTEGER)",
    "CREATE INDEX IF NOT EXISTS answer_by_time ON answer_index(capture_ns)",
    "CREATE VIRTUAL TABLE IF NOT EXISTS answer_text USING fts5(prompt, text)",
    "CREATE TABLE IF NOT EXISTS scene_index(id TEXT PRIMARY KEY, modality TEXT, "
    "capture_ns INTEGER, west REAL, south REAL, east REAL, north REAL)",
    "CREATE TABLE IF NOT EXISTS product_index(id TEXT PRIMARY KEY, request_id TEXT)",
    "CREATE INDEX IF NOT EXISTS product_by_request ON product_index(request_id)",
)
FORMATS = ("geojson", "jsonl")
Box = tuple[float, float, float, float]


def _plain_text(text: str) -> str:
    """Replace lone surrogates, which SQLite cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def bounding_box(points: Sequence[float]) -> Box:
    """Return (west, south, east, north) in degrees of lon lat pairs.

    An outline over the 180th meridian gets an east beyond 180 instead of a box round the globe.
    """
    lons, lats = list(points[::2]), points[1::2]
    if max(lons) - min(lons) > 180:
        lons = [lon + 360 if lon < 0 else lon for lon in lons]
    return min(lons), min(lats), max(lons), max(lats)


class ArchiveStore:
    """Everything that came down.

    Args:
        database: the archive's own file.
        export_root: exports are written below this folder only.
        events: how many events are kept (M21).
        files: the system calls of a durable export.
    Raises:
        StorageError: from any method, when the disk refuses.
    """

    def __init__(
        self,
        database: Database,
        export_root: Path,
        *,
        events: int = 10_000,
        files: Files | None = None,
    ) -> None:
        self._database = database
        self._export_root = export_root
        self._files = files or Files()
        self._answers = RecordTable(database, "archive_answers", Answer)
        self._products = RecordTable(database, "archive_products", Product)
        self._scenes = RecordTable(database, "archive_scenes", Scene)
        self._events = RecordTable(database, "archive_events", Event)
        self._keep_events = events
        self._since_prune = 0
        for statement in _INDEX:
            database.execute(statement)

    def record_answer(self, answer: Answer) -> None:
        """Archive a version of an answer; a repeat replaces itself."""
        capture_ns = next((s.stamp_ns for s in answer.steps if s.name == "captured"), 0)
        run = self._database.execute
        with self._database.transaction():
            self._answers.put(answer.id, answer, is_open=False)
            known = run("SELECT row FROM answer_index WHERE id=?", (answer.id,))
            if known:
                run("DELETE FROM answer_text WHERE rowid=?", known[0])
                run("DELETE FROM answer_index WHERE row=?", known[0])
            row = run(
                "INSERT INTO answer_index(id, scene_id, request_id, status, stamp_ns, capture_ns) "
                "VALUES(?,?,?,?,?,?) RETURNING row",
                (
                    answer.id,
                    answer.scene_id,
                    answer.request_id,
                    answer.status,
                    answer.stamp_ns,
                    capture_ns,
                ),
            )[0][0]
            run(
                "INSERT INTO answer_text(rowid, prompt, text) VALUES(?,?,?)",
                (row, _plain_text(answer.prompt), _plain_text(answer.text)),
            )

    def record_scene(self, scene: Scene) -> None:
        """Archive what is known of a scene; answers about it become findable by place."""
        box = bounding_box(scene.footprint) if scene.footprint else (None,) * 4
        with self._database.transaction():
            self._scenes.put(scene.id, scene, is_open=False)
            self._database.execute(
                "INSERT OR REPLACE INTO scene_index VALUES(?,?,?,?,?,?,?)",
                (scene.id, scene.modality, scene.capture_ns, *box),
            )

    def record_product(self, product: Product) -> None:
        """Archive what is known of a received product."""
        with self._database.transaction():
            self._products.put(product.id, product, is_open=False)
            self._database.execute(
                "INSERT OR REPLACE INTO product_index VALUES(?,?)",
                (product.id, product.request_id),
            )

    def record_event(self, event: Event) -> None:
        """Archive an event; the oldest go when there are too many."""
        text_crc = zlib.crc32(event.text.encode())
        key = f"{max(event.stamp_ns, 0):020d}-{event.source}-{event.id}-{text_crc:08x}"
        self._events.put(key, event, is_open=False)
        self._since_prune += 1
        if self._since_prune > self._keep_events // 10:
            self._events.prune(self._keep_events)
            self._since_prune = 0

    def get(self, answer_id: str) -> Answer | None:
        """Return an answer, None when absent or damaged."""
        return self._answers.get(answer_id)

    def scene(self, scene_id: str) -> Scene | None:
        """Return a scene, None when absent or damaged."""
        return self._scenes.get(scene_id)

    def product_of(self, request_id: str) -> Product | None:
        """Return the last product of a request, None when there is none."""
        rows = self._database.execute(
            "SELECT id FROM product_index WHERE request_id=? ORDER BY id DESC LIMIT 1",
            (request_id,),
        )
        return self._products.get(rows[0][0]) if rows else None

    def events(self, limit: int = 100) -> list[Event]:
        """Return the newest events, newest first."""
        return [event for _, event in self._events.newest(limit)]

    def search(
        self,
        *,
        text: str = "",
        area: Sequence[float] = (),
        from_ns: int = 0,
        to_ns: int = 0,
        modality: str = "",
        limit: int = 100,
    ) -> list[str]:
        """Find final answers and refusals, newest capture first.

        Args:
            text: words that must all occur in prompt or text; empty for any.
            area: lon lat pairs, degrees; scenes whose bounding box meets its box; empty for any.
            from_ns: earliest capture, 0 for any.
            to_ns: latest capture, 0 for any.
            modality: of the scene, empty for any.
            limit: most ids returned, 1..1000.
        Returns:
            Answer ids.
        Raises:
            StorageError: the area is no outline.
        """
        clauses, values = ["a.status > 0"], list[object]()
        if words := text.replace("\0", " ").split()[:32]:
            clauses.append("a.row IN (SELECT rowid FROM answer_text WHERE answer_text MATCH ?)")
            values.append(
                _plain_text(" ".join('"' + word.replace('"', '""') + '"' for word in words))
            )
        if area:
            if fault := outline()(tuple(area)):
                raise StorageError(f"area: {fault}")
            west, south, east, north = bounding_box(area)
            clauses.append("s.south <= ? AND s.north >= ?")
            values += [north, south]
            # Boxes may be a turn of the globe apart.
            turns = " OR ".join("(s.west <= ? AND s.east >= ?)" for _ in range(3))
            clauses.append(f"({turns})")
            for turn in (-360, 0, 360):
                values += [east + turn, west + turn]
        when = "COALESCE(NULLIF(a.capture_ns, 0), s.capture_ns, a.stamp_ns)"
        for value, clause in ((from_ns, f"{when} >= ?"), (to_ns, f"{when} <= ?")):
            if value:
                clauses.append(clause)
                values.append(value)
        if modality:
            clauses.append("s.modality = ?")
            values.append(modality)
        rows = self._database.execute(
            "SELECT a.id FROM answer_index a LEFT JOIN scene_index s ON s.id = a.scene_id "
            f"WHERE {' AND '.join(clauses)} ORDER BY {when} DESC, a.id LIMIT ?",
            (*values, max(1, min(limit, 1000))),
        )
        return [row[0] for row in rows]

    def export(self, answer_ids: Sequence[str], file_format: str, path: str) -> int:
        """Write answers to a file below the export folder.

        Args:
            answer_ids: unknown ones are left out.
            file_format: geojson or jsonl.
            path: relative to the export folder.
        Returns:
            How many answers the file holds.
        Raises:
            StorageError: unknown format, a path that leads out of the folder, or a full disk.
        """
        if file_format not in FORMATS:
            raise StorageError(f"format {file_format!r:.40} is none of {', '.join(FORMATS)}")
        root = self._export_root.resolve()
        try:
            target = (root / path).resolve()
        except (OSError, ValueError) as error:
            raise StorageError("export path is no path") from error
        if not path or target == root or not target.is_relative_to(root):
            raise StorageError("export path leads out of the export folder")
        answers = [answer for key in answer_ids if (answer := self.get(key)) is not None]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder of {path}") from error
        if file_format == "jsonl":
            parts = [f"{encode(answer)}\n".encode() for answer in answers]
        else:
            features = [self._feature(answer) for answer in answers]
            whole = {"type": "FeatureCollection", "features": features}
            parts = [json.dumps(whole).encode()]
        write_durably(target, parts, self._files)
        return len(answers)

    def _feature(self, answer: Answer) -> dict[str, object]:
        scene = self.scene(answer.scene_id)
        geometry = None
        if scene is not None and scene.footprint:
            ring = [list(p) for p in zip(*[iter(scene.footprint)] * 2, strict=True)]
            # RFC 7946 section 3.1.6: a ring is closed.
            geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
        return {
            "type": "Feature",
            "id": answer.id,
            "geometry": geometry,
            "properties": to_plain(answer),
        }
