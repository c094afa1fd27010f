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


class Events:
    """What consumers will hear: each time a whole record, whose version its teller has raised."""

    def __init__(self, desk: Desk, traceparent: str) -> None:
        """Start empty; without a trace context, that of the order's message before is carried on."""
        self.all: list[Event] = []
        self._desk = desk
        self._traceparent = traceparent

    def order(self, record: Order, name: str) -> None:
        """Publish `order.<name>`."""
        self._add("order", name, record, key=record.id, ordering_key=record.id)

    def fulfilment(self, record: Fulfilment, name: str) -> None:
        """Publish `fulfilment.<name>`."""
        self._add("fulfilment", name, record, key=record.location, ordering_key=record.order_id)

    def payment(self, record: Tender | Refund, name: str) -> None:
        """Publish `payment.<name>`."""
        self._add("payment", name, record, key=record.order_id, ordering_key=record.order_id)

    def inventory(self, record: InventoryLevel | Availability, name: str) -> None:
        """Publish `inventory.<name>`."""
        self._add("inventory", name, record, key=record.sku, ordering_key=f"inventory:{record.sku}")

    def exception(self, record: ExceptionRecord, name: str) -> None:
        """Publish `exception.<name>`."""
        key = record.order_id or record.location or record.subject
        self._add("exception", name, record, key=key, ordering_key=record.order_id or record.id)

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
        self._add("message", name, notice, key=message.source, ordering_key=message.id)

    def _add(
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
        self.all.append(event)
