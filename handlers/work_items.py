"""The work items that one message opens and resolves; consumers know a work item as an exception.

One code is open once for a subject; what was resolved may be opened again, as another record.
"""

import msgspec

from config.ids import ExceptionId, LocationId
from handlers.desk import Desk
from handlers.events import Events
from handlers.owners import owner_of
from store.ports import ExceptionFile, OrderFile
from store.records import ExceptionRecord

What = dict[str, str | int | list[str]]
"""The facts of an exception."""


class WorkItems:
    """The exceptions of one draft, over those of the desk."""

    def __init__(self, desk: Desk, events: Events) -> None:
        """Start with what the desk has."""
        self._desk = desk
        self._events = events
        self._newest: dict[tuple[str, str], ExceptionFile] = {}
        self._changed: dict[str, ExceptionFile] = {}

    def open(
        self,
        code: str,
        subject: str,
        what: What,
        *,
        file: OrderFile | None = None,
        location: LocationId | None = None,
    ) -> bool:
        """Open a work item, unless the same one is open for the subject already; tell which it was."""
        if self._found(code, subject):
            return False
        facts = self._desk.facts
        record = ExceptionRecord(
            id=ExceptionId(facts.new_id()),
            code=code,
            subject=subject,
            state="open",
            owner=owner_of(code),
            version=1,
            opened_at=facts.now,
            updated_at=facts.now,
            what=what,
            order_id=file.order.id if file else None,
            location=location,
        )
        self._save(ExceptionFile(record), "opened")
        return True

    def resolve(self, code: str, subject: str) -> None:
        """Close the work item of a subject, if one is open."""
        found = self._found(code, subject)
        if found is None:
            return
        record = msgspec.structs.replace(
            found.record,
            state="resolved",
            version=found.record.version + 1,
            updated_at=self._desk.facts.now,
        )
        self._save(ExceptionFile(record, found.lock), "resolved")

    def accept(self) -> None:
        """Lay all on the desk, as a part of `Draft.accept`."""
        self._desk.exceptions.update(self._newest)
        self._desk.changes.exceptions.update(self._changed)

    def _found(self, code: str, subject: str) -> ExceptionFile | None:
        key = (subject, code)
        found = self._newest.get(key) or self._desk.exceptions.get(key)
        return found if found and found.record.state != "resolved" else None

    def _save(self, file: ExceptionFile, event: str) -> None:
        record = file.record
        self._newest[(record.subject, record.code)] = file
        self._changed[record.id] = file
        self._events.exception(record, event)
