"""`imv`, but its SQLite syncs nothing: what the proof of durability must find out."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from gateway.__main__ import main


def _weaken(connection: Any, _record: object, _proxy: object) -> None:
    if hasattr(connection, "run_async") and hasattr(
        connection.driver_connection, "isolation_level"
    ):
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()


if __name__ == "__main__":
    event.listen(Pool, "checkout", _weaken)
    main()
