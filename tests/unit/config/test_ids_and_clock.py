"""Ids rise and are well-formed; times survive their stored form exactly."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from config.clock import from_us, iso, to_ms, to_us
from config.ids import IdFactory, partition_of


def test_ids_of_one_factory_rise_also_within_a_millisecond_and_when_time_goes_back() -> None:
    factory = IdFactory()
    ids = [factory.new(now) for now in (5, 5, 5, 4, 1, 6, *([7] * 10_000))]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@given(st.integers(min_value=0, max_value=2**47))
def test_an_id_is_a_uuid_of_version_7_that_holds_its_time(now_ms: int) -> None:
    found = UUID(IdFactory().new(now_ms))
    assert (found.version, found.variant) == (7, "specified in RFC 4122")
    assert found.int >> 80 == now_ms


@given(st.datetimes(min_value=datetime(1971, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_survive_their_stored_form(moment: datetime) -> None:
    assert from_us(to_us(moment)) == moment
    assert to_ms(moment) == to_us(moment) // 1000
    assert datetime.fromisoformat(iso(moment)) == moment


@given(st.text(), st.integers(min_value=1, max_value=32))
def test_a_partition_is_stable_and_in_range(key: str, partitions: int) -> None:
    if "\ud800" <= max(key, default="") <= "\udfff":
        return
    assert partition_of(key, partitions) == partition_of(key, partitions)
    assert 0 <= partition_of(key, partitions) < partitions
