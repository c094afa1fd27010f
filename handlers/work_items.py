"""The work items that one message opens and closes: an exception is open once for its subject."""

import msgspec

from config.ids import ExceptionId, LocationId
from handlers.desk import Desk
from handlers.owners import owner_of
from handlers.told import Told
from store.ports import ExceptionFile, OrderFile
from store.records import ExceptionRecord

What = dict[str, str | int | list[str]]
"""The facts of an exception."""


class WorkItems:
    """The exceptions of one draft, over those of the desk."""

    def __init__(self, desk: Desk, told: Told) -> None:
        """Start with what the desk has."""
        self._desk = desk
        self._told = told
        self._files: dict[tuple[str, str], ExceptionFile] = {}
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
        """Lay them on the desk."""
        self._desk.exceptions.update(self._files)
        self._desk.changes.exceptions.update(self._changed)

    def _found(self, code: str, subject: str) -> ExceptionFile | None:
        key = (subject, code)
        found = self._files.get(key) or self._desk.exceptions.get(key)
        return found if found and found.record.state != "resolved" else None

    def _save(self, file: ExceptionFile, event: str) -> None:
        record = file.record
        self._files[(record.subject, record.code)] = file
        self._changed[record.id] = file
        self._told.exception(record, event)
