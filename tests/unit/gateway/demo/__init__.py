"""The demo without I/O: its files, its bodies, its script, and who works in it."""
