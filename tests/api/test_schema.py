"""Inputs made up from the API's own description, right and wrong ones: none may end in a fault of ours."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
from functools import cache

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from topline.api.assembly import api as assembled
from topline.ui.wire import MAX_ID

# for each operation and each of the two ways, right and wrong
EXAMPLES = 40 if os.environ.get("TOPLINE_HYPOTHESIS") == "hunt" else 3
DAYS = ["2026-02-28", "2026-03-20", "2026-03-31", "2199-12-31"]


def narrowed(node):
    """The description with ids that exist, currencies and days that make sense: so that made-up inputs reach the verbs."""
    if isinstance(node, list):
        return [narrowed(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "integer" and node.get("minimum") == 1 and node.get("maximum") == MAX_ID:
        return {"type": "integer", "minimum": 1, "maximum": 2}
    if node.get("format") == "date":
        return {"type": "string", "enum": DAYS}
    if node.get("description") == "ISO 4217":
        return {"type": "string", "enum": ["EUR", "USD", "JPY"]}
    if node.get("title") == "Company":
        return {"type": "string", "enum": [""]}
    return {name: narrowed(inner) for name, inner in node.items()}


def operations(schema, **generation):
    config = schemathesis.Config.from_dict({"generation": generation}) if generation else None
    loaded = schemathesis.openapi.from_dict(schema, config=config)
    return {found.ok().label: found.ok() for found in loaded.get_all_operations()}


@schemathesis.serializer("application/x-ndjson")
def as_lines(context, value) -> bytes:
    """One JSON value a line; what is no list is one line."""
    return b"\n".join(json.dumps(whole(line)).encode() for line in (value if isinstance(value, list) else [value]))


@cache
def described(mode):
    """The operations by label; made when a test asks for them, for the description takes seconds to make."""
    schema = json.loads(json.dumps(assembled.get_openapi_schema()))
    return operations(narrowed(schema), **{"allow-x00": False}) if mode is GenerationMode.POSITIVE else operations(schema)


LABELS = sorted(
    re.sub(r"{\w+:(\w+)}", r"{\1}", f"{method} /api{router.prefix}{path}")
    for router in assembled._get_bound_routers()
    for path, view in router.path_operations.items()
    for operation in view.operations
    for method in operation.methods
)
keys = itertools.count()


def whole(value):
    """1.0 is an integer to JSON Schema; our clients write 1."""
    if isinstance(value, dict):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def send(client: Client, headers: dict[str, str], case):
    """The case as a request of Django's own client, in this test's transaction."""
    sent = case.as_transport_kwargs(base_url="http://testserver")
    extra = {name: value for name, value in (case.headers or {}).items() if name.lower() not in {"authorization", "content-type"}}
    if "Idempotency-Key" in extra:
        extra["Idempotency-Key"] = f"{str(extra['Idempotency-Key'])[:100]}-{next(keys)}"
    query = {name: value for name, value in (case.query or {}).items() if value is not None}
    if case.media_type == "multipart/form-data":
        data, kind = (case.body if isinstance(case.body, dict) else {}), {}
        data = {name: value if isinstance(value, bytes | str) else str(value) for name, value in data.items() if name != "file"}
        data |= {"file": io.BytesIO(b"name,currency\nInitech,EUR\n")}
    else:
        body = whole(sent.get("json", sent.get("data", b"")))
        data, kind = (
            (body if isinstance(body, bytes) else json.dumps(body).encode()),
            {"content_type": "application/json"},
        )
    path = case.formatted_path
    if case.method.upper() == "GET":
        return client.get(path, query, headers={**extra, **headers})
    if case.media_type == "application/x-ndjson":
        return client.put(path, sent.get("data", b""), content_type=case.media_type, headers={**extra, **headers})
    return client.post(path, data, query_params=query, headers={**extra, **headers}, **kind)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_every_operation_is_tried(mode):
    assert sorted(described(mode)) == LABELS


@pytest.mark.parametrize("label", LABELS)
def test_no_input_ends_in_a_fault_of_ours(api, label, invoice_and_payment):
    client = Client(raise_request_exception=False)

    def answers(mode):
        seen = []

        @seed(20260301)
        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(case=described(mode)[label].as_strategy(generation_mode=mode))
        def holds(case):
            response = send(client, api.headers, case)
            seen.append(response.status_code)
            assert response.status_code < 500, (mode, case.path_parameters, case.query, case.body)
            if response.status_code >= 400:
                assert response["Content-Type"] == "application/problem+json"

        holds()
        return seen

    answers(GenerationMode.NEGATIVE)
    ends_itself = {401} if "tokens" in label or "members" in label else set()
    assert not set(answers(GenerationMode.POSITIVE)) & {401, 403, 405} - ends_itself, "made-up inputs must reach the verb"


@pytest.fixture
def invoice_and_payment(make_customers, issue, pay, apply):
    """Something to find under the id 1."""
    (customer,) = make_customers("Globex")
    (invoice,) = issue(customer, 10_000)
    apply(pay(customer, 6_000), invoice, 4_000)
