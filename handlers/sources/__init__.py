"""One file per channel: how its messages are verified, keyed and decoded."""
