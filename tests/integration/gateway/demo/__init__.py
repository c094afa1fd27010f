"""The demo with real files and a real loopback server."""
