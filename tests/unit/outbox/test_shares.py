"""How relays share the partitions."""

from hypothesis import given
from hypothesis import strategies as st

from outbox.lease_statements import Lease
from outbox.partitions import fair_share, surplus_of


@given(st.sets(st.uuids(), min_size=1, max_size=40), st.integers(1, 32))
def test_the_shares_add_up_and_differ_by_one_at_most(names: set[object], partitions: int) -> None:
    alive = sorted(map(str, names))
    shares = [fair_share(me, alive, partitions) for me in alive]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


@given(st.sets(st.integers(0, 31)), st.sets(st.integers(0, 31)), st.integers(0, 32))
def test_what_is_busy_is_given_up_last(held: set[int], busy: set[int], share: int) -> None:
    surplus = surplus_of([Lease(number, 1, 0, None) for number in held], share, busy)
    assert len(surplus) == max(0, len(held) - share)
    assert set(surplus) <= held
    if set(surplus) & busy:
        assert held - busy <= set(surplus)
