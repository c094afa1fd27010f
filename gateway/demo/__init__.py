"""The demo: a small network, and signed sample webhooks that keep it alive."""
