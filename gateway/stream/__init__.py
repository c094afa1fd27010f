"""Live streams to screens: one hub per process, the protocol `imv.v1`, websocket and SSE."""
