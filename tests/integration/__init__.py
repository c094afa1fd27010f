"""Tests against one real engine at a time."""
