"""Who may do what on the embedded Redis: the gate's user what the gate does, others nothing."""

import hashlib
import secrets
from pathlib import Path
from typing import Final

import msgspec

from config.errors import Misconfigured
from gateway.engines.folder import write_private

USER: Final = "imv"
KEYS: Final = "imv:*"
"""What all keys of the gate begin with; see `store/gate_keys.py`."""
COMMANDS: Final = (
    *("get", "set", "del", "unlink", "pexpire"),
    *("hget", "hset", "hdel", "hexists", "hgetall", "hincrby", "hmget"),
    *("sadd", "srem", "scard", "smembers", "srandmember"),
    *("zadd", "zrem", "zrangebyscore", "zremrangebyscore"),
    *("eval", "evalsha"),
)
"""What the gate and its scripts do; a script may do no more than its user."""
_ASKING: Final = ("auth", "hello", "ping", "info", "config|get")
"""What the client says to begin with, and what `imv doctor` asks."""
_TELLS_LIBRARY: Final = (7, 2)


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stays the same over restarts of one folder."""

    password: str


def settled(file: Path) -> Access:
    """Return what the file keeps; a new password where there is none yet (also in an older folder).

    Raises:
        Misconfigured: the file is damaged or cannot be written.
    """
    if known := kept(file):
        return known
    access = Access(secrets.token_hex(24))
    try:
        write_private(file, msgspec.json.encode(access).decode())
    except OSError as error:
        raise Misconfigured(f"{file}: {error.strerror}; move away what is there") from error
    return access


def kept(file: Path) -> Access | None:
    """Return what the file keeps, None without one; Misconfigured when it is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Access)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"{file} is damaged ({error}); delete it to have a new one") from error


def address(socket: Path | str, access: Access | None) -> str:
    """Return the server's address for redis-py, credentials included."""
    return f"unix://{USER}:{access.password}@{socket}" if access else f"unix://{socket}"


def rules(access: Access, version: tuple[int, ...]) -> str:
    """Return the access list's file; of the password it holds the digest."""
    # Older servers refuse a rule for what they do not know.
    asking = [*_ASKING, "client|setinfo"] if version >= _TELLS_LIBRARY else _ASKING
    allowed = " ".join(f"+{command}" for command in (*COMMANDS, *asking))
    digest = hashlib.sha256(access.password.encode()).hexdigest()
    return f"user default reset off\nuser {USER} reset on #{digest} ~{KEYS} -@all {allowed}\n"
