"""The OpenAPI document under Schemathesis: no 500, and every answer as the document says."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e import instance as at

_STREAMING: Final = {"/v1/stream/sse"}
_CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_SAME_EACH_TIME: Final = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


Operation = APIOperation[Any, Any, Any, Any]


class _Asked:
    """What was asked, and the answers by hundreds of their status."""

    def __init__(self, token: dict[str, str]) -> None:
        self.operations: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self._token = token

    def ask_all(self, http: str, mode: GenerationMode) -> None:
        """Ask every operation for what fits its document, or for what does not."""
        document = schemathesis.openapi.from_url(f"{http}/schema")
        for found in document.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            if operation.path not in _STREAMING:
                with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked for
                    self._ask(operation, mode)

    def _ask(self, operation: Operation, mode: GenerationMode) -> None:
        @_SAME_EACH_TIME
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Case[Any]) -> None:
            response = case.call_and_validate(headers=self._token, checks=_CHECKS, timeout=10)
            self.statuses[response.status_code // 100] += 1
            self.operations.add(operation.label)

        ask()


@pytest.mark.timeout(90)
async def test_every_operation_answers_as_documented(instance: at.Running) -> None:
    right, wrong = (_Asked(at.bearer(instance.ready["token"])) for _ in range(2))
    await asyncio.to_thread(right.ask_all, instance.http, GenerationMode.POSITIVE)
    await asyncio.to_thread(wrong.ask_all, instance.http, GenerationMode.NEGATIVE)
    assert len(right.operations) > len(wrong.operations) > len(right.operations) // 2
    assert right.statuses[2] > right.statuses.total() // 4  # it is not all refused at the door
    assert wrong.statuses[4] > wrong.statuses.total() // 2
