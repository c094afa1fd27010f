"""What the demo does through `/v1` with the run's credential, as staff and operators do."""

from collections.abc import Sequence
from typing import Final

import httpx
import msgspec

from gateway.api.fulfilments import Act
from handlers.actions import FulfilmentAction, ImportCatalog, ImportStock, StockRow
from store.records import CatalogItem

_TAKEN: Final = frozenset({200, 409})
"""409: somebody at the screen was faster; the next look shows the new row."""


class Office:
    """A client of the gateway's own API; httpx.HTTPError when it refuses or does not answer."""

    def __init__(self, client: httpx.AsyncClient, credential: str) -> None:
        """Take a client of the gateway's address."""
        self._client = client
        self._headers = {
            "authorization": f"Bearer {credential}",
            "content-type": "application/json",
        }

    async def act(self, fulfilment_id: str, action: FulfilmentAction, act: Act) -> None:
        """Move a fulfilment on, decided on the version that was seen."""
        await self._post(f"/v1/fulfilments/{fulfilment_id}/{action}", act)

    async def import_catalog(self, items: Sequence[CatalogItem]) -> None:
        """Add or replace items."""
        await self._post("/v1/imports/catalog", ImportCatalog(tuple(items)))

    async def import_stock(self, rows: Sequence[StockRow]) -> None:
        """Set levels."""
        await self._post("/v1/imports/stock", ImportStock(tuple(rows)))

    async def _post(self, path: str, body: msgspec.Struct) -> None:
        content = msgspec.json.encode(body)
        answer = await self._client.post(path, content=content, headers=self._headers)
        if answer.status_code not in _TAKEN:
            answer.raise_for_status()
