"""The packaged network, catalog and stock fit together."""

from config.ids import MarketId, SourceId
from gateway.demo.bodies.sample import MARKETPLACE, SHOP, TILL
from gateway.demo.goods import name_at, read_catalog, read_network, read_stock
from gateway.demo.sources import MARKET
from handlers.directory import Directory, Source


def test_the_network_has_stores_to_collect_from_and_warehouses_to_send_from() -> None:
    places = read_network().locations
    stores = [place for place in places if place.kind == "store"]
    assert [place.id for place in stores] == [f"S-00{i}" for i in range(1, 7)]
    assert all(place.pickup and place.ship for place in stores)
    assert [place.id for place in places if place.kind == "warehouse"] == ["W-01", "W-02"]
    assert {place.market for place in places} == {MARKET}


def test_every_store_is_known_to_the_shop_and_the_till() -> None:
    directory = Directory(
        read_network(), tuple(Source(SourceId(name), MarketId(MARKET)) for name in (SHOP, TILL))
    )
    for place in directory.network.locations:
        for source, name in place.external.items():
            assert directory.location_of(SourceId(source), name) == place.id
        assert place.kind != "store" or {SHOP, TILL} <= place.external.keys()


def test_every_item_has_a_price_a_cost_and_one_name_of_its_own_at_each_channel() -> None:
    items = read_catalog()
    names = [name for item in items for name in item.external]
    assert len({item.sku for item in items}) == len(items) == 24
    assert len(set(names)) == len(names)
    for item in items:
        assert item.title
        assert item.currency == "GBP"
        assert 0 < (item.cost_minor or 0) < (item.price_minor or 0)
        assert {source for source, _ in item.external} == {SHOP, TILL, MARKETPLACE}


def test_an_item_goes_by_our_sku_where_a_channel_has_no_name_for_it() -> None:
    item = read_catalog()[0]
    assert name_at(item, SHOP) == "810000000001"
    assert name_at(item, "partner-1") == item.sku


def test_every_item_lies_at_every_place_once() -> None:
    cells = [(row.sku, row.location) for row in read_stock()]
    places = [place.id for place in read_network().locations]
    assert sorted(cells) == sorted((item.sku, p) for item in read_catalog() for p in places)
    assert all(row.on_hand > row.safety_stock > 0 for row in read_stock())
