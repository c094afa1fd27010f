"""Runs the gate's Lua scripts, and plain commands, with our errors."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from redis.exceptions import NoScriptError

from store.redis_client import Client, translated

_READ_ONLY: Final = frozenset({"view"})


class GateScripts:
    """The scripts of `store/lua`, each by its file's name."""

    def __init__(self, client: Client) -> None:
        """Read the scripts' texts; the client stays its owner's to close."""
        self._client = client
        self._texts: dict[str, tuple[str, str]] = {}
        for file in files("store").joinpath("lua").iterdir():
            text = file.read_text(encoding="utf-8")
            digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            self._texts[file.name.removesuffix(".lua")] = (text, digest)

    async def run(self, name: str, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run one script; the keys are all that it touches, and share one hash tag.

        Raises:
            EngineDown: not executed; OutcomeUnknown: a writing script's answer was lost.
        """
        text, digest = self._texts[name]
        parameters = (len(keys), *keys, *arguments)
        with translated(writing=name not in _READ_ONLY):
            try:
                return await self._client.execute_command("EVALSHA", digest, *parameters)
            except NoScriptError:
                # A server that was started anew does not know the script and has done nothing.
                return await self._client.execute_command("EVAL", text, *parameters)

    async def read(self, *command: str | bytes | int) -> Any:
        """Run one plain reading command; EngineDown when there is no answer."""
        with translated(writing=False):
            return await self._client.execute_command(*command)

    async def write(self, *command: str | bytes | int) -> Any:
        """Run one plain writing command; errors as `run`."""
        with translated(writing=True):
            return await self._client.execute_command(*command)
