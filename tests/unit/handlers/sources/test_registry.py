"""The registry: which modules are channels, and what every channel refuses at once."""

import pytest

from config.errors import Misconfigured
from handlers.sources import registry
from handlers.sources.channel import Account
from tests.unit.handlers.sources import given

NOT_CHANNELS = {"channel", "options", "pickup", "registry", "shopify_order", "signatures", "times"}


def test_providers_are_found_by_their_modules_names() -> None:
    found = registry.providers()
    assert set(given.PROVIDERS) <= set(found)
    assert not NOT_CHANNELS & set(found)
    assert list(found) == sorted(found)


@pytest.mark.parametrize("provider", ["nobody", "registry", "channel", "", "shopify.x", "../x"])
def test_an_unknown_provider_is_refused_with_those_that_are_known(provider: str) -> None:
    account = Account(id="shop-1", market="uk", secrets=(b"s",), options={})
    with pytest.raises(Misconfigured, match=r"source shop-1: provider .* shopify, square"):
        registry.open_channel(provider, account)


@pytest.mark.parametrize("provider", given.PROVIDERS)
@pytest.mark.parametrize("secrets", [(), (b"",), (b"good", b"")])
def test_an_account_without_secrets_is_refused(provider: str, secrets: tuple[bytes, ...]) -> None:
    options = given.OPTIONS.get(provider, {})
    account = Account(id="shop-1", market="uk", secrets=secrets, options=options)
    with pytest.raises(Misconfigured, match="source shop-1"):
        registry.open_channel(provider, account)


@pytest.mark.parametrize("provider", given.PROVIDERS)
def test_a_misspelt_option_is_refused_by_name(provider: str) -> None:
    with pytest.raises(Misconfigured, match="stock_owners"):
        given.opened(provider, stock_owners=["S-001"])


@pytest.mark.parametrize("provider", given.PROVIDERS)
def test_options_of_other_parts_of_the_gateway_are_welcome(provider: str) -> None:
    given.opened(provider, stock_owner=["S-001"], api={"base_url": "https://api.example"})
