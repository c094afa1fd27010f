"""One running instance for each module of tests."""

from collections.abc import Iterator

import pytest

from tests import engines
from tests.integration.gateway.cli.instance import Place, make_place, up


@pytest.fixture(scope="module")
def running_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An instance with one shop, one payment source and one place, for all tests of a module."""
    with engines.needed():
        place = make_place(tmp_path_factory.mktemp("running"))
        with up(place):
            yield place
