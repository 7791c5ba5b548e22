"""Inputs made up from the API's own description, right and wrong ones: none may end in a fault of ours."""

from __future__ import annotations

import io
import itertools
import json

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from topline.api.assembly import api as assembled

EXAMPLES = 6  # for each operation and each of the two ways, right and wrong
SCHEMA = schemathesis.openapi.from_dict(dict(assembled.get_openapi_schema()))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
keys = itertools.count()


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
        body = sent.get("json", sent.get("data", b""))
        data, kind = (
            (body if isinstance(body, bytes) else json.dumps(body).encode()),
            {"content_type": "application/json"},
        )
    path = case.formatted_path
    if case.method.upper() == "GET":
        return client.get(path, query, headers={**extra, **headers})
    return client.post(path, data, query_params=query, headers={**extra, **headers}, **kind)


@pytest.mark.parametrize("label", sorted(OPERATIONS))
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_no_input_ends_in_a_fault_of_ours(api, label, mode, invoice_and_payment):
    client, answers = Client(raise_request_exception=False), []

    @seed(20260301)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def holds(case):
        response = send(client, api.headers, case)
        answers.append(response.status_code)
        assert response.status_code < 500, (case.path_parameters, case.query, case.body)
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"

    holds()
    if mode is GenerationMode.POSITIVE:
        assert not set(answers) & {401, 403, 405}, "made-up inputs must reach the verb"


@pytest.fixture
def invoice_and_payment(make_customers, issue, pay, apply):
    """Something to find under the id 1."""
    (customer,) = make_customers("Globex")
    (invoice,) = issue(customer, 10_000)
    apply(pay(customer, 6_000), invoice, 4_000)
