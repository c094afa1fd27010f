"""Short names for the columns of steps; since old steps use them, what they mean never changes."""

import sqlalchemy as sa
from alembic import op


def text(name: str) -> sa.Column[str]:
    """Return a text that must be there."""
    return sa.Column(name, sa.String, nullable=False)


def uuid(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """Return an id of 36 characters."""
    return sa.Column(name, sa.String(36), nullable=nullable)


def number(name: str) -> sa.Column[int]:
    """Return a small whole number that must be there."""
    return sa.Column(name, sa.Integer, nullable=False)


def big(name: str) -> sa.Column[int]:
    """Return a 64-bit number that must be there; times are such."""
    return sa.Column(name, sa.BigInteger, nullable=False)


def flag(name: str) -> sa.Column[bool]:
    """Return a truth value that must be there."""
    return sa.Column(name, sa.Boolean, nullable=False)


def blob(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    """Return bytes."""
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def partial_index(
    name: str, table: str, columns: list[str], *, sqlite: str, postgresql: str | None = None
) -> None:
    """Make an index of the rows that fulfil a condition, which each database may write its way."""
    op.create_index(
        name,
        table,
        columns,
        sqlite_where=sa.text(sqlite),
        postgresql_where=sa.text(postgresql or sqlite),
    )
