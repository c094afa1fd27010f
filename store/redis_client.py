"""Clients of Redis that execute a command at most once; their errors become ours here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.errors import EngineDown, Misconfigured, OutcomeUnknown
from config.limits import GATE_CALL_S

Client = Redis | RedisCluster

CONNECTIONS_MAX: Final = 32
_SINGLE: Final = ("unix://", "redis://", "rediss://")
_CLUSTER: Final = {"redis+cluster://": "redis://", "rediss+cluster://": "rediss://"}
_REFUSED: Final = (
    exceptions.BusyLoadingError,
    exceptions.AuthenticationError,
    exceptions.NoPermissionError,
)
_NEVER_SENT: Final = (ConnectionRefusedError, FileNotFoundError)
# How uvloop tells, as a plain RuntimeError, that a connection was reset a moment before it is used.
_BROKEN: Final = "the handler is closed"
# The server says that it did not execute; inside a script these words stand within a longer text.
_REFUSALS: Final = (
    "LOADING",
    "BUSY ",
    "MISCONF",
    "OOM ",
    "READONLY",
    "NOREPLICAS",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "can't write against a read only",
    "not allowed when used memory",
    "not connected to master",
    "unable to persist on disk",
    # Rights that an operator gave too narrowly: an engine that cannot be used, not a bad message.
    "NOPERM",
    "ACL failure in script",
    "executing the script can't run this command",
)


def open_redis(url: str, *, call_s: float = GATE_CALL_S) -> Client:
    """Return a client that connects at its first command and never repeats one by itself.

    Takes unix://, redis:// and rediss:// for one server, redis+cluster:// and rediss+cluster:// for
    a cluster. Connecting, waiting for a connection and a reply take `call_s` seconds at most, each.
    The caller closes it with `aclose()`.

    Raises:
        Misconfigured: another scheme.
    """
    options: dict[str, Any] = {
        "socket_timeout": call_s,
        "socket_connect_timeout": call_s,
        # redis-py would otherwise execute a command again when its reply was lost.
        "retry": Retry(NoBackoff(), 0),
        "max_connections": CONNECTIONS_MAX,
    }
    if url.startswith(_SINGLE):
        return Redis.from_pool(BlockingConnectionPool.from_url(url, timeout=call_s, **options))
    for scheme, plain in _CLUSTER.items():
        if url.startswith(scheme):
            return RedisCluster.from_url(plain + url.removeprefix(scheme), **options)
    raise Misconfigured("engines.redis must begin with unix:, redis:, rediss: or redis+cluster:")


@contextmanager
def translated(*, writing: bool) -> Iterator[None]:
    """Turn redis-py's errors into ours; an error of a script itself stays a defect.

    Raises:
        EngineDown: nothing was applied; OutcomeUnknown: a write's answer was lost.
    """
    try:
        yield
    except (exceptions.RedisClusterException, exceptions.MaxConnectionsError) as error:
        raise EngineDown("Redis does not answer") from error
    except exceptions.ResponseError as error:
        if isinstance(error, exceptions.ClusterError) or _refused(error):
            raise EngineDown(f"Redis refuses: {error}") from error
        raise
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and _BROKEN not in str(error):
            raise
        # Only where it is certain that nothing was sent do we say so.
        if writing and not (_refused(error) or _never_sent(error)):
            raise OutcomeUnknown("Redis did not answer; it may or may not have done it") from error
        raise EngineDown("Redis does not answer") from error


def _refused(error: Exception) -> bool:
    if isinstance(error, _REFUSED):
        return True
    return isinstance(error, exceptions.ResponseError) and any(
        word in str(error) for word in _REFUSALS
    )


def _never_sent(error: BaseException) -> bool:
    if isinstance(error, exceptions.ConnectionError) and isinstance(error.__cause__, TimeoutError):
        return True  # no connection of the pool became free
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _NEVER_SENT):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
