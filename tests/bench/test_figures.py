"""How figures are made of what was seen: the relay's pace, the workers' shares, the versions."""

import pytest

from tests.bench import machine
from tests.bench.books import Books
from tests.bench.process import Failed
from tests.bench.stream_watch import pace
from tests.bench.targets.workers import Share, check_shared, shares_of
from tests.engines import Databases


def test_the_relays_pace_counts_only_what_came_after_its_clock_began() -> None:
    # Three batches of 960 events and a marker each; the first was there at the first look already.
    samples = [(10.0, 1061), (10.1, 2022), (10.2, 2983), (10.3, 2983)]
    assert pace(samples, 100, 2880) == pytest.approx(1920 / 0.2)


def test_looks_before_the_first_event_do_not_start_the_relays_clock() -> None:
    samples = [(1.0, 0), (2.0, 0), (10.0, 961), (10.5, 1922)]
    assert pace(samples, 0, 1920) == pytest.approx(960 / 0.5)


def test_events_that_all_came_between_two_looks_have_no_pace() -> None:
    assert pace([(1.0, 0), (2.0, 961), (3.0, 961)], 0, 960) == 0.0


def test_workers_share_the_rounds_and_one_that_did_nothing_in_all_of_them_fails_it() -> None:
    shares = shares_of({11: 40, 12: 24}, {11: 1.0, 12: 2.0}, {11: 3.0, 12: 2.5})
    assert shares == [Share(40, 2.0), Share(24, 0.5)]
    idle = [Share(64, 2.0), Share(0, 0.1)]
    check_shared([idle, shares])
    with pytest.raises(Failed, match="did nothing"):
        check_shared([idle, idle])
    with pytest.raises(Failed, match="ended in a round"):
        shares_of({11: 64, 13: 0}, {11: 1.0, 12: 2.0}, {11: 3.0, 13: 0.5})


def test_the_version_of_postgresql_is_that_of_the_server_that_was_named(
    postgres_databases: Databases,
) -> None:
    (told,) = Books(postgres_databases.url).rows("SHOW server_version")
    versions = machine.facts(postgres_databases.url)["versions"]
    assert told[0].startswith(versions["postgresql"])
    assert machine.facts()["versions"]["postgresql"] != "none"
