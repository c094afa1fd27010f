"""The stream on a real server, with real clients."""
