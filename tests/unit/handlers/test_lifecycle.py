"""The state machines: every legal way, and every other refused."""

from itertools import product
from typing import Any, get_args

import pytest

from config.errors import InvalidTransition
from handlers.actions import FulfilmentAction
from handlers.lifecycle import derive_state, follow
from store.ports import FulfilmentFile, OrderFile
from store.records import FulfilmentState, Method
from tests.integration.store import samples

ACTIONS: tuple[FulfilmentAction, ...] = get_args(FulfilmentAction)
STATES: tuple[FulfilmentState, ...] = get_args(FulfilmentState)
LEGAL: dict[Method, dict[str, dict[str, str]]] = {
    "ship": {
        "assigned": {"acknowledge": "acknowledged", "reject": "rejected"},
        "acknowledged": {
            "start": "picking",
            "pick": "picked",
            "short": "acknowledged",
            "reject": "rejected",
        },
        "picking": {"pick": "picked", "short": "picking", "reject": "rejected"},
        "picked": {"pack": "packed", "short": "picked"},
        "packed": {"hand-off": "handed_off"},
        "handed_off": {"deliver": "delivered"},
        "in_transit": {"deliver": "delivered"},
    },
    "pickup": {
        "assigned": {"acknowledge": "acknowledged", "reject": "rejected"},
        "acknowledged": {
            "start": "picking",
            "pick": "picked",
            "short": "acknowledged",
            "reject": "rejected",
        },
        "picking": {"pick": "picked", "short": "picking", "reject": "rejected"},
        "picked": {"stage": "staged", "short": "picked"},
        "staged": {"ready": "ready", "short": "staged"},
        "ready": {"collect": "collected"},
    },
    "handed_over": {},
    "digital": {},
}


@pytest.mark.parametrize("method", get_args(Method))
def test_every_legal_action_leads_on_and_every_other_is_refused(method: Method) -> None:
    for state, action in product(STATES, ACTIONS):
        fulfilment = samples.fulfilment(method=method, state=state)
        legal = LEGAL[method].get(state, {})
        if action in legal:
            assert follow(fulfilment, action)[0] == legal[action]
            continue
        with pytest.raises(InvalidTransition) as caught:
            follow(fulfilment, action)
        assert caught.value.facts == {"state": state, "possible": sorted(legal)}


def _file(*states: str, **line: int) -> OrderFile:
    order = samples.order(state="routed")
    (one,) = order.lines
    values: dict[str, Any] = {
        name: line.get(name, getattr(one, name)) for name in one.__struct_fields__
    }
    order = samples.order(state="routed", lines=(type(one)(**values),))
    groups = tuple(
        FulfilmentFile(samples.fulfilment(f"f{n}", state=state)) for n, state in enumerate(states)
    )
    return OrderFile(order=order, fulfilments=groups)


@pytest.mark.parametrize(
    ("file", "state"),
    [
        (_file(cancelled=2), "cancelled"),
        (_file("assigned", allocated=2), "routed"),
        (_file("acknowledged", allocated=2), "routed"),
        (_file("assigned", "picking", allocated=2), "in_fulfilment"),
        (_file("handed_off", handed_off=1), "partly_fulfilled"),
        (_file("handed_off", handed_off=1, cancelled=1), "fulfilled"),
        (_file("collected", handed_off=2), "fulfilled"),
        (_file("rejected"), "accepted"),
        (_file("rejected", short=2), "held"),
    ],
)
def test_the_header_state_is_what_lines_and_fulfilments_add_up_to(
    file: OrderFile, state: str
) -> None:
    assert derive_state(file) == state
