"""The `imv` command line."""
