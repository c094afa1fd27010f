"""Run by Alembic: the steps, inside the transaction that `store.migrate` opened."""

from alembic import context

from outbox.table import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
