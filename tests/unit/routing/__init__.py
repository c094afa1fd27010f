"""Tests of the pure routing decision."""
