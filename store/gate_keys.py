"""The gate's keys in Redis; all keys of a market share its hash tag, so one script may touch them.

    imv:{market:uk}:epoch               the epoch that is open; missing while closed
    imv:{market:uk}:builder             the epoch that is being built, with an expiry: a lease
    imv:{market:uk}:epochs              set of the epochs that have keys
    imv:{market:uk}:turn                the keeper that reaps and compares, with an expiry: a lease
    imv:{market:uk}:<epoch>:atp:<sku>   hash location -> units free; the field '' is the version
    imv:{market:uk}:<epoch>:operations  hash operation id -> JSON [[sku, location, units], ...]
    imv:{market:uk}:<epoch>:times       sorted set of those operation ids by microseconds
    imv:{market:uk}:<epoch>:shifts      sorted set of shifts' operation ids by microseconds
    imv:{market:uk}:<epoch>:skus        set of the SKUs that have cells

The epoch is part of the name, so that a build never meets another one, nor what the past left.
"""

import msgspec

from config.ids import MarketId, Sku


class MarketKeys(msgspec.Struct, frozen=True):
    """The keys that a market has whatever its epoch."""

    market: MarketId

    @property
    def epoch(self) -> str:
        """The key of the open epoch."""
        return self._named("epoch")

    @property
    def builder(self) -> str:
        """The key of the builder's lease."""
        return self._named("builder")

    @property
    def epochs(self) -> str:
        """The key of the set of epochs that have keys."""
        return self._named("epochs")

    @property
    def turn(self) -> str:
        """The key of the keepers' lease."""
        return self._named("turn")

    def under(self, epoch: str) -> "EpochKeys":
        """Return the keys of one epoch."""
        return EpochKeys(self._named(epoch))

    def _named(self, name: str) -> str:
        return f"imv:{{market:{self.market}}}:{name}"


class EpochKeys(msgspec.Struct, frozen=True):
    """The keys of one epoch of a market."""

    prefix: str

    @property
    def operations(self) -> str:
        """The key of the operations' records."""
        return f"{self.prefix}:operations"

    @property
    def times(self) -> str:
        """The key of the operations by time."""
        return f"{self.prefix}:times"

    @property
    def shifts(self) -> str:
        """The key of the remembered shifts by time."""
        return f"{self.prefix}:shifts"

    @property
    def skus(self) -> str:
        """The key of the set of SKUs that have cells."""
        return f"{self.prefix}:skus"

    def cells(self, sku: Sku) -> str:
        """Return the key of one SKU's cells."""
        return f"{self.prefix}:atp:{sku}"
