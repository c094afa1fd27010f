"""Claims: which messages of a batch are new, which repeat another, and which contradict one."""

import msgspec

from config.clock import to_us
from config.errors import KeyReused, Rejected
from config.ids import MessageId
from handlers.apply import Result
from handlers.decided import Decided
from handlers.message import Message, Outcome
from store.ports import InboxRow, MessageKey

CONFLICT = "#conflict:"


class Claims:
    """The messages of one batch against the inbox and against each other.

    The inbox's unique key is the judge between processes; here the batch is sorted against what was
    committed before and against its own earlier messages.
    """

    def __init__(self, messages: list[Message], known: dict[MessageKey, InboxRow]) -> None:
        """Sort the messages; the first of a key is fresh unless the inbox has it."""
        self._messages = messages
        self._known = known
        self.fresh: list[Message] = []
        self.conflicting: list[Message] = []
        self._first: dict[MessageKey, Message] = {}
        self._conflicts: set[MessageKey] = set()
        for message in messages:
            self._sort(message)

    def _sort(self, message: Message) -> None:
        key = (message.source, message.key)
        if not message.recorded:
            self.fresh.append(message)
        elif key in self._known:
            self._claim_conflict(message, self._known[key].fingerprint)
        elif key in self._first:
            self._claim_conflict(message, self._first[key].fingerprint)
        else:
            self._first[key] = message
            self.fresh.append(message)

    def _claim_conflict(self, message: Message, fingerprint: bytes) -> None:
        """Keep a contradiction once under a key of its own; a repeat needs nothing more."""
        if message.fingerprint == fingerprint or message.operator:
            return
        key = conflict_key(message)
        if key not in self._known and key not in self._conflicts:
            self._conflicts.add(key)
            self.conflicting.append(message)

    def outcomes(
        self, results: dict[str, Result | Rejected], decided: Decided
    ) -> list[Outcome | Exception]:
        """Return what each message's sender gets, in the order of the messages."""
        fresh = {m.id: _outcome(m, results[m.id], decided) for m in self.fresh}
        return [
            fresh[message.id] if message.id in fresh else self._repeated(message, fresh)
            for message in self._messages
        ]

    def rows(self, outcomes: list[Outcome | Exception]) -> list[InboxRow]:
        """Return the inbox rows: every fresh recorded message, and every contradiction.

        An operator's request that failed is not kept: the same key may be tried again.
        """
        by_id = {m.id: o for m, o in zip(self._messages, outcomes, strict=True)}
        rows = []
        for message in self.fresh:
            outcome = by_id[message.id]
            if message.recorded and isinstance(outcome, Outcome):
                rows.append(_row(message, message.key, outcome))
        for message in self.conflicting:
            outcome = Outcome(name="quarantined", message_id=message.id, reason=KeyReused().detail)
            rows.append(_row(message, conflict_key(message)[1], outcome))
        return rows

    def _repeated(
        self, message: Message, fresh: dict[MessageId, Outcome | Exception]
    ) -> Outcome | Exception:
        key = (message.source, message.key)
        row = self._known.get(key)
        first = self._first.get(key)
        fingerprint = row.fingerprint if row else first.fingerprint if first else b""
        if fingerprint != message.fingerprint:
            if message.operator:
                return KeyReused()
            return Outcome(name="quarantined", message_id=message.id, reason=KeyReused().detail)
        if row:
            return Outcome(
                name="duplicate",
                message_id=row.id,
                order_id=row.order_id,
                reason=row.reason,
                answer=row.answer,
            )
        before = fresh[first.id] if first else Rejected()
        if isinstance(before, Outcome):
            return msgspec.structs.replace(before, name="duplicate")
        return before


def _outcome(message: Message, result: Result | Rejected, decided: Decided) -> Outcome | Exception:
    if message.id in decided.refused:
        return decided.refused[message.id]
    if isinstance(result, Rejected):
        if message.operator:
            return result
        return Outcome(name="quarantined", message_id=message.id, reason=result.detail)
    (name, order_id, reason), answer = result
    if name == "applied" and order_id in decided.undecided:
        name, reason = "accepted", "kept; its stock is decided in a moment"
    return Outcome(
        name=name,
        message_id=message.id,
        order_id=order_id,
        reason=reason,
        answer=decided.held.get(message.id, answer),
    )


def conflict_key(message: Message) -> MessageKey:
    """Return the key under which the inbox keeps a message that contradicts the first of its key."""
    return message.source, f"{message.key}{CONFLICT}{message.fingerprint.hex()[:32]}"


def _row(message: Message, key: str, outcome: Outcome) -> InboxRow:
    return InboxRow(
        id=message.id,
        source=message.source,
        key=key,
        topic=message.topic,
        fingerprint=message.fingerprint,
        headers=message.headers,
        body=message.body,
        received_us=to_us(message.received_at),
        outcome=outcome.name,
        reason=outcome.reason,
        order_id=outcome.order_id,
        answer=outcome.answer,
    )
