"""The whole thing, as its users run and meet it."""
