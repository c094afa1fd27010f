"""The relay and the subscriber on a real NATS and both databases."""
