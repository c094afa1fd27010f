"""The commands beside a running instance."""

import json
import signal

from gateway.running import read_running
from tests.integration.gateway.cli.instance import Place, following
from tests.payload_folder import own_payload

STOCK = "sku,location,on_hand,safety_stock\nMUG-BLUE,S-001,20,2\nMUG-RED,S-001,0,\n"
CATALOG = "sku,title,price_minor,currency,external\nMUG-BLUE,Mug,1200,GBP,partner-1:MUG\n"


def test_the_doctor_finds_nothing_that_fails(running_instance: Place) -> None:
    done = running_instance.imv("doctor", "--json")
    assert [one for one in done.json["checks"] if one["level"] == "fail"] == []
    assert (done.code, done.json["ok"]) == (0, True)
    names = {one["check"] for one in done.json["checks"]}
    assert {"redis settings", "nats sync", "stream", "database revision", "gate"} <= names


def test_the_doctor_prints_one_plain_line_per_check(running_instance: Place) -> None:
    done = running_instance.imv("doctor", NO_COLOR="1")
    assert {line.split()[0] for line in done.out.splitlines()} <= {"ok", "warn"}
    assert "\x1b" not in done.out


def test_imports_set_levels_and_items(running_instance: Place) -> None:
    stock = running_instance.file("stock.csv", STOCK)
    catalog = running_instance.file("catalog.csv", CATALOG)
    assert running_instance.imv("catalog", "import", catalog, "--json").json["rows"] == 1
    done = running_instance.imv("stock", "import", stock, "--json")
    assert (done.code, done.json) == (0, {"applied": True, "rows": 2})


def test_of_a_bad_file_nothing_is_applied(running_instance: Place) -> None:
    bad = running_instance.file("bad.csv", STOCK + "MUG-NEW,S-001,5,\nMUG-NEW,S-404,1,\n")
    done = running_instance.imv("stock", "import", bad, "--json")
    assert done.code == 1
    assert [one["line"] for one in done.json["problems"]] == [5]
    assert "nothing was applied" in done.err
    unknown = running_instance.file("unknown.csv", "sku,location,on_hand,shelf\nA,S-001,1,2\n")
    assert "unknown columns 'shelf'" in running_instance.imv("stock", "import", unknown).err


def test_a_message_is_applied_and_its_duplicate_is_one(running_instance: Place) -> None:
    body = running_instance.file(
        "order.json", own_payload("standard_webhooks/order_placed.json").decode()
    )
    done = running_instance.imv("send", "partner-1", body, "--duplicate", "--json")
    first, second = done.lines
    assert (done.code, first["status"], second["outcome"]) == (0, 200, "duplicate")
    assert first["message_id"] == second["message_id"]


def test_several_messages_of_one_file_are_different_ones(running_instance: Place) -> None:
    body = running_instance.file(
        "paid.json", own_payload("stripe/payment_intent_succeeded.json").decode()
    )
    done = running_instance.imv("send", "pay-1", body, "--times", "3", "--json")
    assert done.code == 0
    assert len({one["message_id"] for one in done.lines}) == 3


def test_a_bad_signature_must_be_refused(running_instance: Place) -> None:
    body = running_instance.file("bare.json", "{}")
    done = running_instance.imv("send", "partner-1", body, "--bad-signature", "--json")
    assert (done.code, done.json["status"], done.json["expected"]) == (0, 401, True)


def test_a_wrong_source_or_file_is_one_line_that_says_what_to_do(running_instance: Place) -> None:
    done = running_instance.imv("send", "nobody", "nothing.json")
    assert done.code == 1
    assert done.err.startswith("imv: no source is called 'nobody'; configured are: partner-1")
    assert done.err.count("\n") == 1


def test_tail_shows_what_happened_since_the_start(running_instance: Place) -> None:
    captured = {
        "headers": {},
        "topic": "",
        "body": json.loads(own_payload("standard_webhooks/order_placed.json")) | {"x": 1},
    }
    captured["body"]["data"]["order"] = "A-tail"
    body = running_instance.file("captured.json", json.dumps(captured))
    sent = running_instance.imv("send", "partner-1", body, "--json").json
    subject = f"imv.v1.order.*.{sent['order_id']}"
    done = running_instance.imv("tail", subject, "--since-start", "--count", "1", "--json")
    assert done.code == 0
    assert done.json["subject"] == f"imv.v1.order.captured.{sent['order_id']}"
    assert done.json["data"]["version"] == 1


def test_tail_ends_cleanly_on_ctrl_c(running_instance: Place) -> None:
    body = running_instance.file(
        "again.json", own_payload("standard_webhooks/order_placed.json").decode()
    )
    running_instance.imv("send", "partner-1", body)
    with following(running_instance, "tail", "--since-start") as process:
        assert process.stdout
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_a_token_is_made_once_and_revoked_once(running_instance: Place) -> None:
    made = running_instance.imv("token", "create", "--scope", "board:S-001", "--json").json
    assert made["token"].startswith("imv_")
    assert running_instance.imv("token", "revoke", made["id"]).code == 0
    again = running_instance.imv("token", "revoke", made["id"])
    assert (again.code, again.err) == (1, f"imv: there is no live token {made['id']}\n")


def test_an_unknown_scope_is_wrong_use(running_instance: Place) -> None:
    done = running_instance.imv("token", "create", "--scope", "everything")
    assert done.code == 2
    assert "orders:read" in done.err


def test_the_credential_is_for_its_owner_alone(running_instance: Place) -> None:
    folder = running_instance.folder / "var"
    assert read_running(folder)
    assert (folder / "run.json").stat().st_mode & 0o077 == 0


def test_what_is_done_by_hand_stands_in_an_unbroken_audit_log(running_instance: Place) -> None:
    stock = running_instance.file("audited.csv", STOCK)
    assert running_instance.imv("stock", "import", stock).code == 0
    made = running_instance.imv("token", "create", "--scope", "board:S-001", "--json").json
    assert running_instance.imv("token", "revoke", made["id"]).code == 0
    entries = running_instance.imv("audit", "list", "--limit", "3", "--json").json["entries"]
    assert [one["action"] for one in entries] == ["token.revoke", "token.create", "stock.import"]
    assert {one["actor"] for one in entries} == {"imv run"}
    assert made["token"] not in str(entries)
    done = running_instance.imv("audit", "verify", "--json")
    assert (done.code, done.json["sound"]) == (0, True)
    assert running_instance.imv("audit", "verify", "--noted", done.json["head"]).code == 0
    number, _, digest = done.json["head"].partition(":")
    wrong = running_instance.imv("audit", "verify", "--noted", f"{number}:{digest[::-1]}")
    assert (wrong.code, "not the one that was noted" in wrong.err) == (1, True)
    assert "token.revoke" in running_instance.imv("audit", "list", NO_COLOR="1").out
