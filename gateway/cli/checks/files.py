"""Checks of files: the data folder and its disk, the settings, the network, secrets, sources."""

import os
import shutil
from pathlib import Path
from typing import Final

import httpx
import msgspec

from config.errors import ImvError
from config.settings import resolve_secret
from gateway.cli.checks.finding import Finding, Subject, fail, judged, ok, warn
from gateway.cli.live import is_locked
from gateway.lifespan import read_network
from gateway.serving import listen
from gateway.sources import open_channels
from gateway.urls import url_at

_FREE_GOOD: Final = 1024**3
_FREE_MIN: Final = 64 * 1024**2
_NETWORK_KINDS: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.sshfs",
        "afs",
        "lustre",
    }
)
_PROBE_S: Final = 2.0


async def data_folder(subject: Subject) -> list[Finding]:
    """Look whether the folder is there, ours to write, and in use."""
    folder = subject.instance.data
    place = _existing(folder)
    usable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    if not usable:
        detail = f"{folder}: {place} is no folder that may be written to"
        return [fail("data folder", detail, "name another one with --data")]
    if subject.running:
        return [ok("data folder", f"{folder}, in use by process {subject.running.pid}")]
    if is_locked(folder):
        advice = "wait for it to end, or stop it"
        return [warn("data folder", f"{folder} is open in another process", advice)]
    return [ok("data folder", f"{folder}, not in use")]


async def disk(subject: Subject) -> list[Finding]:
    """Look at what is free on the folder's disk."""
    free = shutil.disk_usage(_existing(subject.instance.data)).free
    text, advice = f"{free >> 20} MiB free", "free some space, or move the data folder"
    if free < _FREE_MIN:
        return [fail("disk", text, advice)]
    return [warn("disk", text, advice) if free < _FREE_GOOD else ok("disk", text)]


async def file_system(subject: Subject) -> list[Finding]:
    """Refuse file systems of other machines, on which locks and fsync do not hold."""
    kind = _file_system(_existing(subject.instance.data).resolve())
    wrong = f"{kind} is a network file system" if kind in _NETWORK_KINDS else ""
    return [judged("file system", wrong, kind or "unknown kind", "use a local disk")]


async def configuration(subject: Subject) -> list[Finding]:
    """Tell whether the settings could be read."""
    place = str(subject.instance.config or "no file; defaults and environment")
    return [judged("configuration", subject.trouble, place, "correct the value that is named")]


async def secrets(subject: Subject) -> list[Finding]:
    """Resolve every secret, without showing any."""
    count = 0
    wrong = []
    for source in subject.instance.settings.sources:
        for reference in source.secrets:
            try:
                resolve_secret(reference, subject.environ)
                count += 1
            except ImvError as error:
                wrong.append(f"{source.id}: {error.detail}")
    advice = "set the variable or the file that is named"
    return [judged("secrets", "; ".join(wrong), f"{count} resolved", advice)]


async def network(subject: Subject) -> list[Finding]:
    """Parse the network file."""
    settings = subject.instance.settings
    if not settings.network.file:
        advice = "name a file with markets and locations in [network] file"
        if settings.sources:
            return [fail("network", "sources are configured, but no network file", advice)]
        return [warn("network", "no network file, so there is no market and no place", advice)]
    try:
        found = read_network(settings)
    except ImvError as error:
        return [fail("network", error.detail, "correct the network file")]
    known = {market.id for market in found.markets}
    lost = [s.id for s in settings.sources if s.market not in known]
    wrong = f"sources of unknown markets: {', '.join(lost)}" if lost else ""
    detail = f"{len(found.markets)} markets, {len(found.locations)} locations"
    return [judged("network", wrong, detail, "correct the source's market or the network file")]


async def sources(subject: Subject) -> list[Finding]:
    """Open every source's channel, each alone, so that all that is wrong is told."""
    settings = subject.instance.settings
    wrong = []
    async with httpx.AsyncClient() as http:
        for source in settings.sources:
            try:
                alone = msgspec.structs.replace(settings, sources=(source,))
                open_channels(alone, subject.environ, http, subject.clock)
            except ImvError as error:
                wrong.append(error.detail)
    detail = f"{len(settings.sources)} open"
    return [judged("sources", "; ".join(wrong), detail, "correct [[sources]]")]


async def port(subject: Subject) -> list[Finding]:
    """Look whether the port is free, or our own instance's."""
    gateway = subject.instance.settings.gateway
    where = url_at(gateway.host, gateway.port)
    if subject.running:
        where = subject.running.http
        wrong = "" if await _is_ours(where) else f"{where} does not answer"
        return [
            judged("port", wrong, f"{where} is our own instance", "see its log, and restart it")
        ]
    if _can_listen(gateway.host, gateway.port):
        return [ok("port", f"{gateway.host}:{gateway.port} is free")]
    if await _is_ours(where):
        return [ok("port", f"a gateway answers at {where}")]
    advice = "stop what uses it, or choose another with --port"
    return [fail("port", f"cannot listen on {gateway.host}:{gateway.port}", advice)]


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _file_system(path: Path) -> str:
    """Return the kind of the file system that a path is on; empty where that is not told."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts:
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _can_listen(host: str, number: int) -> bool:
    try:
        listen(host, number).close()
    except ImvError:
        return False
    return True


async def _is_ours(http: str) -> bool:
    async with httpx.AsyncClient(timeout=_PROBE_S, trust_env=False) as client:
        try:
            answer = await client.get(f"{http}/livez")
        except httpx.HTTPError:
            return False
        return answer.is_success and b'"alive"' in answer.content
