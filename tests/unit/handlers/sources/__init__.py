"""Channels: what they prove and what they make of it."""
