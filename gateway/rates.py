"""How often somebody may do something: a token bucket for each address or source, in bounded memory."""

import math
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from config.clock import Clock
from config.errors import Limited

_KEYS_MAX: Final = 10_000
_BURST_S: Final = 20
"""A bucket holds what refills in this time: 20 seconds' worth may come at once."""
_PREFIX: Final = 64


class Rates:
    """Buckets that refill at one rate; a rate of 0 limits nothing. Each process counts for itself."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        """Take the rate."""
        self._per_s = per_s
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Take one from a bucket; Limited, with the time until there is one again, when it is empty."""
        if not self._per_s:
            return
        left, now = self._left(key)
        if left < 1:
            raise Limited(after_s=math.ceil((1 - left) / self._per_s))
        self._buckets[key] = (left - 1, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _KEYS_MAX:
            self._buckets.popitem(last=False)

    def spent(self, key: str) -> bool:
        """Tell whether a bucket is empty now."""
        return bool(self._per_s) and self._left(key)[0] < 1

    def _left(self, key: str) -> tuple[float, float]:
        now, full = self._clock.monotonic(), self._per_s * _BURST_S
        left, then = self._buckets.get(key, (full, now))
        return min(full, left + (now - then) * self._per_s), now


def address_of(client: object) -> str:
    """Return whom a client's requests are counted for: its address, of IPv6 its network of 64 bits."""
    return _network_of(str(client[0]) if isinstance(client, tuple | list) and client else "")


@lru_cache(maxsize=4096)
def _network_of(host: str) -> str:
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> _PREFIX << _PREFIX))
    return host
