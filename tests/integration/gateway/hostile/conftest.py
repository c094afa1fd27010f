"""One instance for all hostile tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e import instance as at
from tests.integration.gateway.hostile import target


@pytest.fixture(scope="package")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[at.Running]:
    """Run an instance with one source of each provider."""
    folder = tmp_path_factory.mktemp("hostile")
    with at.running(*at.up_arguments(target.write_config(folder), folder / "data")) as up:
        yield up


@pytest.fixture(autouse=True)
async def unharmed(instance: at.Running) -> AsyncIterator[None]:
    """After each attack the instance serves and decides as before."""
    yield
    await target.alive_and_right(instance.http)
