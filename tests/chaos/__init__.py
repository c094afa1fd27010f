"""Chaos: real processes killed, cut and stopped under traffic, judged offline by the invariants."""
