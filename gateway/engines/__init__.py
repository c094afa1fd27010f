"""The embedded engines: Redis and NATS as child processes of `imv up`, in one data folder."""
