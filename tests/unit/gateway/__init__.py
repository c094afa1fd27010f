"""The edge without I/O."""
