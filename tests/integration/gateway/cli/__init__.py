"""Tests of the commands as processes, on a real instance."""
