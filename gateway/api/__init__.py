"""The `/v1` routes, one file per entity."""
