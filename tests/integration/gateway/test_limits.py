"""Rates on a real instance: who is wrong too often, and a source that sends too much, hear 429."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e import instance as at

_LIMITS = "[gateway]\nrefusals_per_s = 0.5\n"
_SOURCE = (
    '[[sources]]\nid = "slow"\nprovider = "shopify"\nmarket = "uk"\nsecrets = ["plain:hush"]\n'
)
_SOURCE += "requests_per_s = 0.1\n"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[at.Running]:
    folder = tmp_path_factory.mktemp("limits")
    config = at.write_config(folder)
    config.write_text(_LIMITS + config.read_text() + _SOURCE)
    with at.running(*at.up_arguments(config, folder / "data")) as up:
        yield up


async def test_who_is_wrong_too_often_is_limited_and_who_is_right_is_not(
    instance: at.Running,
) -> None:
    good = at.bearer(instance.ready["token"])
    async with httpx.AsyncClient(base_url=instance.http) as client:
        assert (await client.get("/v1/locations", headers=good)).status_code == 200
        wrong = [await client.post("/webhooks/shop-main", content=b"{}") for _ in range(20)]
        assert [answer.status_code for answer in wrong][:10] == [401] * 10
        assert wrong[-1].status_code == 429
        assert 1 <= int(wrong[-1].headers["retry-after"]) <= 2
        unknown = await client.get("/v1/locations", headers=at.bearer("imv_nobody"))
        signed_in = await client.post("/session", json={"token": "imv_nobody"})
        nobody = await client.post("/webhooks/nobody", content=b"{}")
        assert {unknown.status_code, signed_in.status_code, nobody.status_code} <= {401, 429}
        assert 429 in {unknown.status_code, signed_in.status_code, nobody.status_code}
        body = at.order(1)
        taken = await client.post(
            "/webhooks/shop-main", content=body, headers=at.headers(body, "genuine")
        )
        assert taken.status_code in {200, 202}
        assert (await client.get("/v1/locations", headers=good)).status_code == 200


async def test_a_source_over_its_rate_is_told_when_to_come_again(instance: at.Running) -> None:
    async with httpx.AsyncClient(base_url=instance.http) as client:
        statuses = []
        for number in range(100, 104):
            body = at.order(number)
            headers = at.headers(body, f"fast {number}")
            answer = await client.post("/webhooks/slow", content=body, headers=headers)
            statuses.append(answer.status_code)
    assert [status // 100 for status in statuses] == [2, 2, 4, 4]
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 10


@pytest.mark.parametrize(
    ("trusted", "last"), [("", 429), ('trusted_proxies = ["127.0.0.1"]\n', 401)]
)
async def test_forwarded_addresses_count_only_from_a_trusted_proxy(
    tmp_path: Path, trusted: str, last: int
) -> None:
    config = at.write_config(tmp_path)
    config.write_text(_LIMITS.rstrip() + "\n" + trusted + config.read_text())
    with at.running(*at.up_arguments(config, tmp_path / "data")) as up:
        async with httpx.AsyncClient(base_url=up.http) as client:
            for number in range(20):
                headers = {"x-forwarded-for": f"192.0.2.{number}"}
                answer = await client.post("/webhooks/shop-main", content=b"{}", headers=headers)
    assert answer.status_code == last
