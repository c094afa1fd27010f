"""The hub and what it is made of, over fake ports."""
