"""The stream's times, in seconds."""

import msgspec

from config.limits import HELLO_S, PING_S, SLOW_S


class Pace(msgspec.Struct, frozen=True):
    """`lag_s`: age of an unpublished event that makes screens stale; `grace_s`: for a last word."""

    hello_s: float = HELLO_S
    ping_s: float = PING_S
    slow_s: float = SLOW_S
    grace_s: float = 2.0
    tick_s: float = 0.5
    retry_s: float = 1.0
    watch_s: float = 2.0
    lag_s: float = 5.0
