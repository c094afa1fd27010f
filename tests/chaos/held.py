"""What the processes of a role hold: descriptors, sockets, threads, memory and tasks."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import httpx
import msgspec
import psutil

from tests.chaos.roles import Role

_ASK_S: Final = 5.0
_TASKS: Final = "imv_tasks "


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The sum over a role's processes, at one moment."""

    processes: int
    descriptors: int
    sockets: int
    threads: int
    memory_bytes: int
    tasks: int = 0
    """Of the gateway's process that answered; a relay tells nobody."""

    def __str__(self) -> str:
        """Return it for people."""
        return (
            f"{self.processes} processes, {self.descriptors} descriptors, {self.sockets} sockets, "
            f"{self.threads} threads, {self.tasks} tasks, {self.memory_bytes // 2**20} MiB"
        )


def weigh(role: Role) -> Held | None:
    """Return what a role holds now; None when it ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(role.pid)
        every = [parent, *parent.children(recursive=True)]
        return Held(
            processes=len(every),
            descriptors=sum(one.num_fds() for one in every),
            sockets=sum(len(one.net_connections("all")) for one in every),
            threads=sum(one.num_threads() for one in every),
            memory_bytes=sum(one.memory_info().rss for one in every),
        )
    return None


async def tasks(http: str, token: str) -> int:
    """Ask a gateway how many tasks it has; 0 when it does not answer."""
    headers = {"authorization": f"Bearer {token}"}
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(base_url=http, headers=headers, timeout=_ASK_S) as client:
            lines = (await client.get("/metrics")).text.splitlines()
            return next((int(float(x.split()[1])) for x in lines if x.startswith(_TASKS)), 0)
    return 0


async def weigh_all(roles: Mapping[str, Role | None], http: str, token: str) -> dict[str, Held]:
    """Return what each role that runs holds now."""
    found = {name: weigh(role) for name, role in roles.items() if role and role.alive}
    held = {name: one for name, one in found.items() if one}
    if "serve" in held:
        held["serve"] = msgspec.structs.replace(held["serve"], tasks=await tasks(http, token))
    return held
