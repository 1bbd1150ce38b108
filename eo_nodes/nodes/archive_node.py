"""archive: everything on the ground that is worth keeping, and services to find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spaceverse.srv import Export, GetAnswer, Search

from eo_nodes.contracts.errors import StorageError
from eo_nodes.contracts.values import Answer, Event, Product
from eo_nodes.store.archive_store import ArchiveStore
from eo_nodes.store.database import Database

from .base import EoNode
from .convert import to_message
from .folders import state_folder
from .parameters import Parameter
from .runner import main_of


class Archive(EoNode):
    """Archive of the ground."""

    PARAMETERS = (Parameter("event_severity", 1, "events from this severity on are kept", 0, 4),)

    def __init__(self, name: str = "archive", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Open the archive and its services."""
        folder = Path(state_folder(self))
        exports = folder / "exports"
        exports.mkdir(exist_ok=True)
        self._database = Database(folder / "archive.db")
        self._archive = ArchiveStore(self._database, exports)
        self.listen("provisional", self._on_answer)
        self.listen("final", self._on_answer)
        self.listen("product", self._on_product)
        self.listen("event", self._on_event)
        self._offered = [
            self.create_service(Search, "~/search", self._on_search),
            self.create_service(GetAnswer, "~/get", self._on_get),
            self.create_service(Export, "~/export", self._on_export),
        ]

    def cleanup(self) -> None:
        """Close the archive and its services."""
        for service in self._offered:
            self.destroy_service(service)
        self._database.close()

    def _keep(self, record: Any, value: Any) -> None:
        try:
            record(value)
        except StorageError as error:
            self.emit("ARCHIVE_FAILED", f"{type(value).__name__} {value.id}: {error}")

    def _on_answer(self, answer: Answer) -> None:
        self._keep(self._archive.record_answer, answer)

    def _on_product(self, product: Product) -> None:
        self._keep(self._archive.record_product, product)

    def _on_event(self, event: Event) -> None:
        if event.severity >= self.param("event_severity") and event.id != "ARCHIVE_FAILED":
            self._keep(self._archive.record_event, event)

    def _on_search(self, request: Any, response: Any) -> Any:
        try:
            response.answer_ids = self._archive.search(
                text=request.text,
                area=tuple(request.area),
                from_ns=request.from_ns,
                to_ns=request.to_ns,
                modality=request.modality,
                limit=max(1, min(request.limit or 100, 1000)),
            )
            response.success = True
        except StorageError as error:
            response.message = str(error)
        return response

    def _on_get(self, request: Any, response: Any) -> Any:
        answer = self._archive.get(request.answer_id)
        if answer is None:
            response.message = f"no answer {request.answer_id}"
            return response
        response.success = True
        response.answer = to_message(answer)
        product = self._archive.product_of(answer.request_id)
        if product is not None:
            response.product = to_message(product)
        return response

    def _on_export(self, request: Any, response: Any) -> Any:
        try:
            response.written = self._archive.export(
                list(request.answer_ids), request.format, request.path
            )
            response.success = True
        except StorageError as error:
            response.message = str(error)
        return response


main = main_of(Archive)

if __name__ == "__main__":
    main()
