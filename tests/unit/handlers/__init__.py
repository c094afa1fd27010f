"""Commands and use cases, on ports that remember."""
