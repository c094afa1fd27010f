"""The demo at work: signed sample webhooks come in, store staff move the goods on."""

import asyncio
from random import Random

from gateway.demo.platform import FakePlatform
from gateway.lifespan import House
from gateway.serving import serving


class Demo:
    """Keeps a demo instance alive."""

    def __init__(self, platform: FakePlatform, chance: Random) -> None:
        """Take the platform that its thin notifications are completed from, and what is random."""
        self._platform = platform
        self._chance = chance

    async def run(self, house: House, http: str, credential: str) -> None:
        """Run until cancelled; whatever goes wrong is logged and tried again."""
        del house, http, credential
        async with serving(self._platform, self._platform.address):
            await asyncio.Event().wait()
