"""Which locations fill which order lines."""
