"""One benchmark per target of the design, plus overload."""
