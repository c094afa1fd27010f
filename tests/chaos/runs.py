"""Runs with everything they need around them: the warm process, a database server, templates."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests import engines
from tests.chaos.crashing import SEED, Result, crash_at
from tests.chaos.house import DatabaseKind, Template, template
from tests.chaos.roles import Warm, warm
from tests.chaos.storm import Outcome, Storm, rage
from tests.engines import PostgresServer

Todo = Sequence[tuple[str, DatabaseKind]]


async def crash_all(
    todo: Todo,
    tell: Callable[[Result], None],
    *,
    seed: int = SEED,
    at_once: int,
    keep: Path | None = None,
) -> list[Result]:
    """Crash at points, several houses side by side: most of their time is waiting."""
    results: list[Result] = []
    room = asyncio.Semaphore(at_once)
    with _scratch() as folder:
        async with _surroundings(folder, {kind for _, kind in todo}) as (parent, templates, _):

            async def one(point: str, kind: DatabaseKind) -> None:
                async with room:
                    place = folder / f"{kind}-{point}"
                    result = await crash_at(point, templates[kind], parent, place, seed=seed)
                    results.append(result)
                    tell(result)
                    _put_away(place, None if result.good else keep)

            async with asyncio.TaskGroup() as group:
                for point, kind in todo:
                    group.create_task(one(point, kind))
    return results


async def storm_once(storm: Storm, folder: Path) -> Outcome:
    """Run one storm on engines of its own; `folder/house` keeps what it wrote."""
    async with _surroundings(folder, {storm.kind}) as (parent, templates, postgres):
        return await rage(storm, templates[storm.kind], parent, folder / "house", postgres)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="imv-chaos-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _put_away(place: Path, keep: Path | None) -> None:
    if keep:
        shutil.copytree(place, keep / place.name, dirs_exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def _surroundings(
    folder: Path, kinds: set[DatabaseKind]
) -> AsyncIterator[tuple[Warm, dict[DatabaseKind, Template], PostgresServer | None]]:
    async with AsyncExitStack() as stack:
        parent = await stack.enter_async_context(warm())
        databases, server = None, None
        if "postgres" in kinds:
            server = stack.enter_context(engines.running_postgres())
            databases = engines.Databases(server.url)
        templates = {
            kind: await stack.enter_async_context(
                template(parent, folder / f"template-{kind}", kind, databases)
            )
            for kind in sorted(kinds)
        }
        yield parent, templates, server
