"""Tests of the embedded engines, which are real processes."""
