"""Hostile clients against a real instance: never a 500, never a hang, and alive and right after."""
