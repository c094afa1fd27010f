"""A benchmark whose gateway lost, doubled or oversold anything fails, whatever it was."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench.books import Books, check_conventional, check_gateway
from tests.bench.letters import Deck
from tests.bench.load import Run
from tests.bench.loading import Load
from tests.bench.process import Failed
from tests.bench.servers import Gateway, conventional, gateway

_ORDERS = 30
_DAMAGES = {
    "an order": "DELETE FROM orders WHERE id = (SELECT min(id) FROM orders)",
    "an order's id": "UPDATE orders SET id = 'another' WHERE id = (SELECT min(id) FROM orders)",
    "an event": """DELETE FROM outbox WHERE type = 'imv.order.routed.v1'
        AND ordering_key = (SELECT min(id) FROM orders)""",
    "a fulfilment": "DELETE FROM fulfilments WHERE id = (SELECT min(id) FROM fulfilments)",
    "a reservation": """DELETE FROM stock_movements
        WHERE order_id = (SELECT min(id) FROM orders)""",
    "a unit": """UPDATE stock_levels SET allocated = allocated - 1
        WHERE rowid = (SELECT min(rowid) FROM stock_levels WHERE allocated > 0)""",
    "a unit that is at another place": """UPDATE stock_levels
        SET allocated = allocated + CASE WHEN allocated > 0 THEN -1 ELSE 1 END
        WHERE rowid IN ((SELECT min(rowid) FROM stock_levels WHERE allocated > 0),
            (SELECT min(rowid) FROM stock_levels WHERE allocated = 0))""",
    "what lies on a shelf": """UPDATE stock_levels SET on_hand = on_hand - 1
        WHERE rowid = (SELECT min(rowid) FROM stock_levels)""",
    "what was sold too often": """UPDATE stock_levels SET on_hand = 0
        WHERE rowid = (SELECT min(rowid) FROM stock_levels WHERE allocated > 0)""",
}
_ITS_DAMAGES = {
    "an order": "DELETE FROM shop_orders WHERE rowid = (SELECT max(rowid) FROM shop_orders)",
    "an event": "DELETE FROM shop_outbox WHERE rowid = (SELECT max(rowid) FROM shop_outbox)",
    "a line": "DELETE FROM shop_lines WHERE rowid = (SELECT max(rowid) FROM shop_lines)",
}


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Load]]:
    """A gateway that has taken some orders, and who sent them."""
    folder = tmp_path_factory.mktemp("taken")
    with gateway(folder) as up, Load(folder, Deck(first=5 * 10**12, count=_ORDERS)) as load:
        load.run(_run(up.port))
        up.books.drain()
        check_gateway(up.books, load, up.nats)
        yield up, load


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Books, Load]]:
    """The books of the conventional side, and who sent its orders."""
    folder = tmp_path_factory.mktemp("others")
    url = f"sqlite+aiosqlite:///{folder / 'other.db'}"
    load = Load(folder, Deck(first=5 * 10**12, count=_ORDERS))
    with conventional(folder, url) as port, load:
        load.run(_run(port))
        check_conventional(Books(url), load)
        yield Books(url), load


def _run(port: int) -> Run:
    return Run(port=port, start=0, seconds=20, connections=4, count_max=_ORDERS)


@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES)
def test_what_is_missing_wrong_or_oversold_fails_a_benchmark(
    damage: str, taken: tuple[Gateway, Load], tmp_path: Path
) -> None:
    up, load = taken
    with pytest.raises(Failed, match="expected"):
        check_gateway(_damaged(up.books, damage, tmp_path), load, up.nats)


@pytest.mark.parametrize("damage", _ITS_DAMAGES.values(), ids=_ITS_DAMAGES)
def test_what_the_other_side_lost_fails_a_benchmark(
    damage: str, others: tuple[Books, Load], tmp_path: Path
) -> None:
    books, load = others
    with pytest.raises(Failed, match="expected"):
        check_conventional(_damaged(books, damage, tmp_path), load)


def _damaged(books: Books, damage: str, folder: Path) -> Books:
    """Return the books of a copy in which one thing is not as it was."""
    file = folder / "copy.db"
    with closing(sqlite3.connect(books.url.partition("///")[2])) as there:
        there.execute("VACUUM INTO ?", (str(file),))
    with closing(sqlite3.connect(file)) as copy, copy:
        assert copy.execute(damage).rowcount
    return Books(f"sqlite+aiosqlite:///{file}")
