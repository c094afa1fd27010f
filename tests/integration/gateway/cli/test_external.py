"""The doctor asks engines that are not ours to start."""

from pathlib import Path

import pytest
from redis import Redis

from config.clock import SystemClock
from config.settings import EngineSettings, NetworkSettings, Settings
from gateway.cli.checks import database, nats, redis
from gateway.cli.checks.finding import Finding, Subject
from gateway.cli.instance import Instance
from outbox.nats_publisher import NatsPublisher
from tests.integration.gateway.cli.instance import make_place


def subject(
    folder: Path, *, postgres: str = "", redis_url: str = "redis://-", nats_url: str = "nats://-"
) -> Subject:
    engines = EngineSettings(database=postgres, redis=redis_url, nats=(nats_url,))
    place = make_place(folder)
    network = NetworkSettings(file=str(place.folder / "network.toml"))
    instance = Instance(Settings(engines=engines, network=network), folder)
    return Subject(instance, {}, SystemClock(), instance.urls())


def levels(findings: list[Finding]) -> dict[str, str]:
    return {one.check: one.level for one in findings}


async def test_a_postgresql_that_keeps_what_it_commits_is_well(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    found = levels(await database.database(subject(tmp_path, postgres=migrated_postgres_url)))
    assert found == {"database": "ok", "database clock": "ok", "database revision": "ok"}


async def test_a_postgresql_that_was_not_migrated_fails(tmp_path: Path, postgres_url: str) -> None:
    found = levels(await database.database(subject(tmp_path, postgres=postgres_url)))
    assert found["database revision"] == "fail"


async def test_a_postgresql_that_is_not_there_fails(tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://nobody@/none?host={tmp_path}"
    assert levels(await database.database(subject(tmp_path, postgres=url))) == {"database": "fail"}


async def test_a_redis_that_may_forget_fails(
    tmp_path: Path, redis_url: str, redis_owner_url: str
) -> None:
    given = subject(tmp_path, redis_url=redis_url)
    assert levels(await redis.redis(given))["redis settings"] == "ok"
    with Redis.from_url(redis_owner_url) as client:
        client.config_set("appendfsync", "everysec")
        try:
            found = await redis.redis(given)
        finally:
            client.config_set("appendfsync", "always")
    assert levels(found)["redis settings"] == "fail"
    assert "appendfsync is everysec, not always" in found[-1].detail


async def test_epochs_that_differ_are_told(
    tmp_path: Path, redis_url: str, migrated_postgres_url: str
) -> None:
    given = subject(tmp_path, redis_url=redis_url, postgres=migrated_postgres_url)
    assert levels(await redis.gate(given)) == {"gate": "warn"}


async def test_the_stream_must_be_there_and_be_as_it_must_be(tmp_path: Path, nats_url: str) -> None:
    given = subject(tmp_path, nats_url=nats_url)
    assert levels(await nats.nats(given))["stream"] == "fail"
    publisher = NatsPublisher((nats_url,))
    await publisher.ensure_stream()
    await publisher.close()
    found = levels(await nats.nats(given))
    assert (found["stream"], found["stream fill"], found["nats sync"]) == ("ok", "ok", "warn")


@pytest.mark.parametrize("check", [redis.redis, nats.nats])
async def test_an_engine_that_does_not_answer_fails(tmp_path: Path, check: object) -> None:
    given = subject(tmp_path, redis_url=f"unix://{tmp_path}/no.sock", nats_url="nats://127.0.0.1:9")
    found = await check(given)  # type: ignore[operator]
    assert [one.level for one in found] == ["fail"]
