"""The events of one message's changes, in the order in which they are told."""

import msgspec

from config.clock import to_us
from config.ids import EventId
from handlers.desk import Desk
from handlers.message import Message
from outbox.event import Entity, Event
from store.records import (
    Availability,
    ExceptionRecord,
    Fulfilment,
    InventoryLevel,
    MessageNotice,
    Order,
    Refund,
    Tender,
)

Record = (
    Order
    | Fulfilment
    | Tender
    | Refund
    | InventoryLevel
    | Availability
    | ExceptionRecord
    | MessageNotice
)


class Told:
    """What consumers will hear; each event has the whole record, which has its new version already."""

    def __init__(self, desk: Desk, traceparent: str) -> None:
        """Start empty; without a trace context, that of the order's message before is carried on."""
        self.events: list[Event] = []
        self._desk = desk
        self._traceparent = traceparent

    def payment(self, record: Tender | Refund, name: str) -> None:
        """Publish `payment.<name>`."""
        self.add("payment", name, record, key=record.order_id, ordering_key=record.order_id)

    def inventory(self, record: InventoryLevel | Availability, name: str) -> None:
        """Publish `inventory.<name>`."""
        self.add("inventory", name, record, key=record.sku, ordering_key=f"inventory:{record.sku}")

    def exception(self, record: ExceptionRecord, name: str) -> None:
        """Publish `exception.<name>`."""
        key = record.order_id or record.location or record.subject
        self.add("exception", name, record, key=key, ordering_key=record.order_id or record.id)

    def message(self, message: Message, name: str, reason: str) -> None:
        """Publish `message.<name>` about a message itself, without its content."""
        notice = MessageNotice(
            id=message.id,
            version=1,
            source=message.source,
            key=message.key,
            topic=message.topic,
            reason=reason,
        )
        self.add("message", name, notice, key=message.source, ordering_key=message.id)

    def add(
        self, entity: Entity, name: str, record: Record, *, key: str, ordering_key: str
    ) -> None:
        """Publish `<entity>.<name>`; events with one ordering key stay in their order."""
        facts = self._desk.facts
        event = Event(
            id=EventId(facts.new_id()),
            entity=entity,
            name=name,
            key=key,
            ordering_key=ordering_key,
            version=record.version,
            at_us=to_us(facts.now),
            data=msgspec.json.encode(record),
            traceparent=self._traceparent or self._desk.traces.get(ordering_key, ""),
        )
        self.events.append(event)
