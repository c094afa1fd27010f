"""Every bound of the gateway, units last in the name."""

from typing import Final

# Edge
BODY_BYTES_MAX: Final = 1024 * 1024
HEADER_BYTES_MAX: Final = 32 * 1024
HEADER_COUNT_MAX: Final = 100
HEAD_RECEIPT_S: Final = 5.0
BODY_RECEIPT_S: Final = 15.0
REFUSALS_PER_S: Final = 20.0
UNREAD_S: Final = 20.0
JSON_DEPTH_MAX: Final = 64
SIGNATURE_AGE_S: Final = 300
RETRY_AFTER_S: Final = 1
SHUTDOWN_S: Final = 15

# Batch
QUEUE_MESSAGES_MAX: Final = 4096
ANSWER_WITHIN_S: Final = 2.0
"""Of all providers whose patience is known, the least patient (eBay) waits 3 s for its answer."""
ROOM_MESSAGES_MIN: Final = 32
"""So many messages are always taken at once: their number is not what makes them late."""
ROOM_RECOVERY_S: Final = 10.0
"""In which time room that nobody was refused for doubles."""
BATCH_MESSAGES_MAX: Final = 256
BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
BATCH_ATTEMPTS_MAX: Final = 8
ORDER_LINES_MAX: Final = 500
QUANTITY_MAX: Final = 1_000_000_000

# Money: amounts are 64-bit everywhere, so they are bounded well inside
AMOUNT_MINOR_MAX: Final = 10**15

# Gate
GATE_GRACE_S: Final = 10.0
GATE_CALL_S: Final = 1.0
REROUTE_MAX: Final = 3
HOLD_S_DEFAULT: Final = 900
HOLD_S_MAX: Final = 86_400

# Availability: how often a SKU is published, and how many SKUs are looked at in that time
AVAILABILITY_S: Final = 1.0
AVAILABILITY_SKUS_MAX: Final = 512
AVAILABILITY_WALK_S: Final = 30.0

# Time in both directions
PARKED_S_MAX: Final = 86_400
FETCH_ATTEMPTS_MAX: Final = 12
FETCH_BACKOFF_S: Final = 2.0
FETCH_BACKOFF_S_MAX: Final = 300.0

# Routing
ROUTE_SETS_EXACT: Final = 3
ROUTE_WORK_MAX: Final = 50_000
ROUTE_AT_ONCE_CELLS_MAX: Final = 4_000
ROUTE_LOOP_MS_MAX: Final = 5.0
ROUTE_BATCH_MS_MAX: Final = 2_000.0

# Outbox and relay
PARTITIONS: Final = 1
"""What a new database begins with: each one more costs the broker a sync for every turn of a relay."""
PARTITIONS_MAX: Final = 32
RELAY_BATCH_MAX: Final = 960
"""A broker takes a thousand messages in an atomic batch, the marker among them."""
RELAY_IDLE_S: Final = 0.25
RELAY_TURN_S: Final = 0.03
LEASE_S: Final = 15.0
PUBLISH_S: Final = 5.0
EVENT_BYTES_MAX: Final = 7 * 1024 * 1024
OUTBOX_KEPT_S: Final = 7 * 86_400
INBOX_KEPT_S: Final = 30 * 86_400

# Stream
HELLO_S: Final = 10.0
PING_S: Final = 15.0
FRAME_BYTES_MAX: Final = 64 * 1024
TOPICS_PER_SESSION_MAX: Final = 32
BACKLOG_EVENTS_MAX: Final = 1000
SLOW_S: Final = 10.0
SESSIONS_MAX: Final = 5000
TICKET_S: Final = 30
TICKETS_MAX: Final = 1_000
"""Unspent tickets of one token: its screens may all come back at once."""
PAGE_ROWS_MAX: Final = 200
