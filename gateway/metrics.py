"""Prometheus metrics; labels come from closed sets or from the configuration, never from senders."""

from asyncio import AbstractEventLoop, all_tasks
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from config.ids import MarketId, SourceId
from handlers.batch import Settled
from handlers.message import Outcome
from store.ports import Changes

CONTENT_TYPE = "text/plain; version=0.0.4"  # the framework adds the charset to every text
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All that is counted, in a registry of its own."""

    def __init__(self) -> None:
        """Register every metric once."""
        self.registry = CollectorRegistry()
        self._children: dict[tuple[SourceId, str], tuple[Counter, Histogram]] = {}
        registry = self.registry
        self._webhooks = Counter(
            "imv_webhooks_total",
            "Webhooks by source and outcome.",
            ("source", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "imv_webhook_seconds",
            "Time to the answer.",
            ("source",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "imv_batch_messages", "Messages a batch.", buckets=_SIZES, registry=registry
        )
        self._events = Counter(
            "imv_events_total", "Events committed.", ("entity",), registry=registry
        )
        self._gate_open = Gauge(
            "imv_gate_open", "1 while the stock gate is open.", ("market",), registry=registry
        )
        self._repaired = Counter(
            "imv_gate_repaired_cells_total",
            "Cells put right from the ledger.",
            ("market",),
            registry=registry,
        )
        self._voided = Counter(
            "imv_gate_voided_operations_total",
            "Reservations without a commit.",
            ("market",),
            registry=registry,
        )
        self.queue = Gauge(
            "imv_queue_messages", "Messages that wait for their batch.", registry=registry
        )
        self.room = Gauge(
            "imv_room_messages", "So many messages may be under way at once.", registry=registry
        )
        self.backlog = Gauge(
            "imv_outbox_events", "Events that wait for the relay.", registry=registry
        )
        self.oldest = Gauge(
            "imv_outbox_oldest_seconds", "Age of the oldest of them.", registry=registry
        )
        self.waiting = Gauge(
            "imv_waiting", "Work that waits, by kind.", ("kind",), registry=registry
        )
        self.screens = Gauge("imv_screens", "Open stream sessions.", registry=registry)
        self.tasks = Gauge("imv_tasks", "Tasks of the event loop.", registry=registry)
        self.fill = Gauge(
            "imv_stream_fill_ratio",
            "How full the event stream is; at 1 it refuses every event.",
            registry=registry,
        )

    def watch(self, loop: AbstractEventLoop, sessions: Callable[[], int]) -> None:
        """Count the loop's tasks, and the open sessions, whenever somebody asks."""
        self.tasks.set_function(lambda: len(all_tasks(loop)))
        self.screens.set_function(sessions)

    def webhook(self, source: SourceId, outcome: str, seconds: float) -> None:
        """Count one webhook; the source is a configured one, or `unknown`."""
        key = (source, outcome)
        if key not in self._children:
            self._children[key] = self._webhooks.labels(*key), self._seconds.labels(source)
        count, time = self._children[key]
        count.inc()
        time.observe(seconds)

    def turned_away(self, source: SourceId, outcome: str) -> None:
        """Count a webhook that was refused from its head alone, which says nothing of their time."""
        self._webhooks.labels(source, outcome).inc()

    def committed(self, outcomes: list[Settled], changes: Changes) -> None:
        """Count one batch."""
        self._batch.observe(sum(isinstance(outcome, Outcome) for outcome in outcomes))
        for event in changes.events:
            self._events.labels(event.entity).inc()

    def opened(self, market: MarketId, *, is_open: bool) -> None:
        """Note that a market's gate opened or closed."""
        self._gate_open.labels(market).set(1 if is_open else 0)

    def repaired(self, market: MarketId, cells: int) -> None:
        """Count cells of the gate that were put right."""
        self._repaired.labels(market).inc(cells)

    def voided(self, market: MarketId, operations: int) -> None:
        """Count reservations whose batch never committed."""
        self._voided.labels(market).inc(operations)

    def text(self) -> bytes:
        """Return everything in Prometheus' text form."""
        return generate_latest(self.registry)
