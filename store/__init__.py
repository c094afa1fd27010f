"""SQL and Redis: records, unit of work, stock gate, migrations."""
