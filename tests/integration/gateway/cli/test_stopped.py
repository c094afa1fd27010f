"""The commands about an instance that does not run."""

import json
import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests import engines
from tests.integration.gateway.cli.instance import Place, make_place, run, up

STOCK = "sku,location,on_hand\nMUG,S-001,7\n"


@pytest.fixture
def stopped_instance(tmp_path: Path) -> Place:
    return make_place(tmp_path)


def on_hand(place: Place) -> list[tuple[str, int]]:
    connection = sqlite3.connect(place.folder / "var" / "imv.db")
    try:
        return connection.execute("SELECT sku, on_hand FROM stock_levels").fetchall()
    finally:
        connection.close()


def test_imports_and_tokens_work_without_it(stopped_instance: Place) -> None:
    with engines.needed():
        file = stopped_instance.file("stock.csv", STOCK)
        done = stopped_instance.imv("stock", "import", file, "--json")
        assert (done.code, done.json) == (0, {"applied": True, "rows": 1}), done.err
        assert on_hand(stopped_instance) == [("MUG", 7)]
        made = stopped_instance.imv("token", "create", "--scope", "operator", "--json").json
        assert stopped_instance.imv("token", "revoke", made["id"]).code == 0
        assert stopped_instance.imv("token", "revoke", made["id"]).code == 1


def test_a_token_made_before_the_first_run_is_good_in_it(stopped_instance: Place) -> None:
    with engines.needed():
        assert stopped_instance.imv("token", "create", "--scope", "operator").code == 0
        with up(stopped_instance) as ready:
            assert ready["token"] is None


def test_what_needs_a_running_one_says_so(stopped_instance: Place) -> None:
    body = stopped_instance.file("body.json", "{}")
    for arguments in (("send", "partner-1", body), ("tail",)):
        done = stopped_instance.imv(*arguments)
        assert done.code == 1
        assert "start it with `imv up`" in done.err
        assert done.err.count("\n") == 1


def test_a_note_that_a_killed_instance_left_is_not_believed(stopped_instance: Place) -> None:
    folder = stopped_instance.folder / "var"
    folder.mkdir()
    (folder / "run.json").write_text('{"http":"http://127.0.0.1:9","nats":"","token":"","pid":1}')
    assert stopped_instance.imv("token", "create", "--scope", "operator").code == 0


def test_the_doctor_fails_for_a_wrong_configuration(stopped_instance: Place) -> None:
    stopped_instance.file("imv.toml", "[gateway]\nprot = 1\n")
    done = stopped_instance.imv("doctor", "--json")
    assert (done.code, done.json["ok"]) == (1, False)
    assert "prot" in str([one for one in done.json["checks"] if one["level"] == "fail"])


def test_contracts_need_no_instance(tmp_path: Path) -> None:
    done = run("contracts", "export", str(tmp_path), "--json")
    assert (done.code, len(done.json["files"])) == (0, 9)
    openapi = json.loads((tmp_path / "openapi.json").read_bytes())
    assert "/webhooks/{source}" in openapi["paths"]
    asyncapi = json.loads((tmp_path / "asyncapi.json").read_bytes())
    assert asyncapi["channels"]["order"]["address"] == "imv.v1.order.{event}.{key}"
    events = asyncapi["channels"]["inventory"]["parameters"]["event"]["enum"]
    assert events == ["adjusted", "availability_changed", "oversold"]
    order = msgspec.json.decode((tmp_path / "schemas" / "order.json").read_bytes())
    assert "version" in order["$defs"]["Order"]["required"]
