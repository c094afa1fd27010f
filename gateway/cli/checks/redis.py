"""Checks of Redis: reachable, durable, and of one mind with the ledger about the gate."""

from collections.abc import Mapping
from typing import Any, Final

from config.errors import ImvError
from config.ids import MarketId
from gateway.cli.checks.finding import Finding, Subject, fail, judged, ok, warn
from gateway.database import open_database
from gateway.lifespan import read_network
from store.gate_keys import MarketKeys
from store.gate_ledger import read_gate
from store.redis_client import Client, open_redis, translated

_WANTED: Final[Mapping[str, str]] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}
_VERSION_GOOD: Final = (7, 2)


async def redis(subject: Subject) -> list[Finding]:
    """Ask for the version and for what decides whether a write survives."""
    if not subject.urls.redis:
        return [ok("redis", "embedded, not running")]
    client = open_redis(subject.urls.redis)
    try:
        with translated(writing=False):
            version = _version(await client.info("server"))
        return [_judge_version(subject, version), await _durable(client)]
    except ImvError as error:
        return [fail("redis", error.detail, "start Redis, or correct engines.redis")]
    finally:
        await client.aclose()


async def gate(subject: Subject) -> list[Finding]:
    """Compare the epochs of every market's gate in Redis and in the ledger."""
    if not subject.urls.redis:
        return []
    markets = [market.id for market in read_network(subject.instance.settings).markets]
    try:
        apart = [market for market in markets if not await _agree(subject, market)]
    except ImvError as error:
        return [warn("gate", f"cannot be compared: {error.detail}", "mend the engines first")]
    wrong = f"Redis and the ledger differ for {', '.join(apart)}" if apart else ""
    advice = "a running gateway rebuilds the gate within seconds; if this stays, see its log"
    return [judged("gate", wrong, f"epochs agree for {len(markets)} markets", advice, level="warn")]


async def _agree(subject: Subject, market: MarketId) -> bool:
    client = open_redis(subject.urls.redis)
    try:
        with translated(writing=False):
            there: Any = await client.get(MarketKeys(market).epoch)
    finally:
        await client.aclose()
    async with (
        open_database(subject.urls.database) as transactions,
        transactions.read() as connection,
    ):
        row = await read_gate(connection, market)
    return row is not None and there is not None and there.decode() == row.epoch


def _judge_version(subject: Subject, version: tuple[int, ...]) -> Finding:
    text = ".".join(map(str, version))
    if version >= _VERSION_GOOD:
        return ok("redis", text)
    private = subject.urls.redis.startswith("unix://")
    advice = (
        "prefer 7.2 or later"
        if private
        else "use 7.2 or later; older ones only on a private socket"
    )
    return warn("redis", f"{text} is before 7.2", advice)


async def _durable(client: Client) -> Finding:
    """Compare the settings; a provider that hides them must be asked by a person."""
    try:
        with translated(writing=False):
            found: list[Any] = [await client.config_get(name) for name in _WANTED]
    except ImvError as error:
        return warn("redis settings", error.detail, "ask your provider for them")
    except Exception as error:  # noqa: BLE001 - a command that is renamed or forbidden, in many ways
        return warn("redis settings", f"not told ({type(error).__name__})", "ask your provider")
    there: dict[str, Any] = {name: value for one in found for name, value in one.items()}
    wrong = [
        f"{n} is {there.get(n)}, not {want}" for n, want in _WANTED.items() if there.get(n) != want
    ]
    right = ", ".join(f"{name} {value}" for name, value in _WANTED.items())
    return judged("redis settings", "; ".join(wrong), right, "set them in redis.conf")


def _version(info: Mapping[str, Any]) -> tuple[int, ...]:
    nodes = info if "redis_version" in info else next(iter(info.values()))
    return tuple(int(part) for part in str(nodes["redis_version"]).split("."))
