"""The OpenAPI document is valid, complete and true, and a client can be made from it."""

from typing import Any

import pytest
import requests
import schemathesis
from actors import User, jpeg
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from devstack.stack import Stack
from vton.errors import CATALOGUE

pytestmark = pytest.mark.thorough

TRUE = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]
OPERATIONS = [
    ("POST", "/api/try-on"),
    ("GET", "/api/try-on/{session_id}/status"),
    ("GET", "/api/try-on/history"),
    ("DELETE", "/api/try-on/{session_id}"),
    ("GET", "/api/garments"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/health/service"),
]


@pytest.fixture(scope="session")
def document(stack: Stack) -> dict[str, Any]:
    """The document, as everybody gets it."""
    found: dict[str, Any] = requests.get(f"{stack.web_url}/openapi.json", timeout=10).json()
    return found


@pytest.fixture
def api(stack: Stack, document: dict[str, Any]) -> Any:
    """The document as schemathesis reads it, for the running service."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=stack.web_url)
    return schema


BOUNDED = settings(
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


def test_the_document_is_valid_and_complete(api: Any, document: dict[str, Any]) -> None:
    api.validate()

    operations = {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert set(operations) == set(OPERATIONS)
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(OPERATIONS)
    protected = {at for at, operation in operations.items() if "security" in operation}
    assert protected == {at for at in OPERATIONS if at[1].startswith("/api/try-on")}


def test_every_code_is_in_the_document(document: dict[str, Any]) -> None:
    """Those of wrong addresses and methods belong to no operation, the dashboard's are its own."""
    named = {
        code
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for code in content.get("examples", {})
    }

    wanted = {code for code, kind in CATALOGUE.items() if kind.status >= 400}
    assert wanted - named == {
        "method_not_allowed", "not_acceptable", "admin_login_needed", "read_only",
        "metrics_token_needed",
        "url_too_long", "headers_too_large",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (method, path, mode)
        for method, path in OPERATIONS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or "/health" not in path  # which have no input
    ],
)
def test_an_operation_is_true(
    api: Any, user: User, method: str, path: str, mode: GenerationMode
) -> None:
    """With good and with bad input, with a token and without."""
    operation = api[path][method]
    token = {"Authorization": f"Bearer {user.token}"}

    @BOUNDED
    @given(operation.as_strategy(generation_mode=mode))
    def explore(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=token, checks=TRUE)
        response = case.call_and_validate(checks=TRUE)
        if "security" in operation.definition.raw:
            assert response.status_code in (401, 404), "404: that is no address"

    explore()


def test_whole_lives_of_try_ons_are_true(api: Any, user: User, garment_id: str) -> None:
    """Start, look, list and delete in any order, with what the answers before gave."""
    machine = api.as_state_machine()
    token = {"Authorization": f"Bearer {user.token}"}
    seen: set[tuple[str, int]] = set()

    class Lives(machine):  # type: ignore[misc, valid-type]
        def before_call(self, case: schemathesis.Case) -> None:
            if case.operation.method.lower() == "post" and isinstance(case.body, dict):
                case.body |= {"userImage": jpeg(), "garmentId": garment_id}

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"headers": token}

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            case.validate_response(response, checks=TRUE)
            seen.add((case.operation.definition.raw["operationId"], response.status_code))

    Lives.run(settings=settings(BOUNDED, stateful_step_count=6))

    assert {("startTryOn", 202), ("getTryOnStatus", 200), ("deleteTryOn", 200)} <= seen
