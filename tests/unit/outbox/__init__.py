"""Unit tests of events, messages and shares."""
