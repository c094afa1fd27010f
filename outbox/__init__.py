"""Delivery at our own pace: the outbox table, the relay, subjects, NATS."""
