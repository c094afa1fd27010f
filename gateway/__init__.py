"""The edge: HTTP, websocket, commands, the composition root and the embedded engines."""
