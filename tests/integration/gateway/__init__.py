"""Tests of the edge against one real engine."""
