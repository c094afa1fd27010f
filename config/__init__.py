"""The floor: settings, limits, ids, money, errors, clock, log."""
