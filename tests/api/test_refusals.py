"""What the API refuses, and how it says so."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pydantic import BaseModel

from topline.api.assembly import api as assembled
from topline.api.parsing import BodyRefused, BodyUnreadable, read
from topline.books.models import PeriodLock
from topline.kernel.models import AuditRecord
from topline.market.models import Customer

NEW = {"customers": [{"name": "Globex", "currency": "EUR"}]}


def problem(response, status, code):
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), response.content
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"]
    assert set(body) == {"type", "title", "status", "detail", "code", "field", "remedy", "details"}
    return body


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "field"),
    [
        ("/customers", {}, 422, "invalid", "customers"),
        ("/customers", {"customers": []}, 422, "invalid", "customers"),
        ("/customers", {"customers": [{"name": "A", "currency": "EUR", "colour": "red"}]}, 422, "invalid", "customers.0.colour"),
        ("/customers", {"customers": [{"name": "A", "currency": "XXY"}]}, 422, "invalid", "currency"),
        ("/customers", {"customers": [{"name": " ", "currency": "EUR"}]}, 422, "invalid", "name"),
        ("/customers", {"customers": [{"name": "A" * 201, "currency": "EUR"}]}, 422, "invalid", "customers.0.name"),
        ("/customers/99/change", {"terms": "net 5"}, 404, "not_found", "customer_id"),
        ("/customers/9223372036854775808/change", {"terms": "net 5"}, 422, "invalid", "customer_id"),
        ("/invoices/issue", {"invoice_ids": [99], "issue_on": "2026-01-01"}, 404, "not_found", "invoice_ids"),
        ("/invoices/issue", {"invoice_ids": ["99"], "issue_on": "2026-01-01"}, 422, "invalid", "invoice_ids.0"),
        ("/invoices/issue", {"invoice_ids": [1], "issue_on": "1899-12-31"}, 422, "invalid", "issue_on"),
        ("/invoices/issue", {"invoice_ids": [1], "issue_on": "2200-01-01"}, 422, "invalid", "issue_on"),
        ("/invoices/issue", {"invoice_ids": [1], "issue_on": 20260101}, 422, "invalid", "issue_on"),
        ("/invoices/issue", {"invoice_ids": [1], "issue_on": "2026-02-30"}, 422, "invalid", "issue_on"),
        ("/payments", {"payments": [{"customer_id": 99, "currency": "EUR", "amount_minor": 1, "received_on": "2026-01-01"}]}, 404, "not_found", "customer_id"),
        ("/payments", {"payments": [{"currency": "EUR", "amount_minor": 0, "received_on": "2026-01-01"}]}, 422, "invalid", "payments.0.amount_minor"),
        ("/payments", {"payments": [{"currency": "EUR", "amount_minor": True, "received_on": "2026-01-01"}]}, 422, "invalid", "payments.0.amount_minor"),
        ("/payments", {"payments": [{"currency": "EUR", "amount_minor": 2**62, "received_on": "2026-01-01"}]}, 422, "invalid", "payments.0.amount_minor"),
        ("/entries/1/reverse", {"effective_on": "2026-01-01", "reason": "x"}, 404, "not_found", "entry_id"),
    ],
)  # fmt: skip
def test_each_refusal_has_a_status_a_code_and_a_field(api, path, body, status, code, field):
    before = AuditRecord.objects.count()
    found = problem(api.post(path, body), status, code)
    assert field is None or found["field"] == field
    assert AuditRecord.objects.count() == before


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b'{"a": 1, "a": 2}', BodyRefused),
        (b'{"a": {"b": 1, "b": 1}}', BodyRefused),
        (b'{"a": NaN}', BodyRefused),
        (b'{"a": -Infinity}', BodyRefused),
        (b'{"a": 1.0}', BodyRefused),
        (b'{"a": 1e3}', BodyRefused),
        (b'{"a": 9223372036854775808}', BodyRefused),
        (b'{"a": ' + b"9" * 5000 + b"}", BodyRefused),
        (b'{"a": "\\u0000"}', BodyRefused),
        (b'{"\\u0000": 1}', BodyRefused),
        (b'{"a": "\\ud800"}', BodyRefused),
        (b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}", BodyRefused),
        (b'{"a": ' + b"[" * 100_000, BodyRefused),
        (b"[1]", BodyUnreadable),
        (b"{", BodyUnreadable),
        (b'{"a": "\xff"}', BodyUnreadable),
        (b"\xef\xbb\xbf{}", BodyUnreadable),
    ],
)
def test_json_that_two_readers_could_read_in_two_ways_is_refused(raw, error):
    with pytest.raises(error):
        read(raw)


def test_json_as_it_should_be_is_read():
    body = b'{"a": ' + b"[" * 19 + b"]" * 19 + b', "b": -9223372036854775808, "c": "[[{\\" \\u20ac", "d": null}'
    assert read(body)["b"] == -(2**63)
    assert read(body)["c"] == '[[{" €'


def test_a_refused_body_is_a_problem(api):
    problem(api.post("/customers", raw=b'{"customers": 1, "customers": 2}'), 422, "body_refused")
    problem(api.post("/customers", raw=b"{"), 400, "body_unreadable")
    assert not Customer.objects.exists()


def test_a_body_over_the_limit_is_refused_before_it_is_read(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    problem(api.post("/customers", raw=b" " * 101), 413, "body_too_large")


def test_an_upload_over_the_limit_is_refused_before_it_is_stored(api, settings, monkeypatch):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    monkeypatch.setattr("topline.api.middleware.MAX_BYTES", 1_000)
    for size, status in ((2_000, 413), (500, 422)):  # the smaller one lacks its other fields
        upload = {"file": SimpleUploadedFile("c.csv", b"x" * size)}
        answer = api.client.post("/api/v1/imports", upload, headers={**api.headers, "Idempotency-Key": str(size)})
        assert answer.status_code == status, answer.content
        assert status == 422 or answer.json()["detail"] == "A request holds at most 1100 bytes."


def test_a_change_without_a_key_is_refused(api):
    problem(api.post("/customers", NEW, key=None), 400, "idempotency_key_missing")
    problem(api.post("/customers", NEW, key="k" * 151), 400, "idempotency_key_missing")
    assert not Customer.objects.exists()


def test_nobody_and_a_wrong_token_are_told_to_sign_in(api):
    for headers in ({}, {"Authorization": "Bearer tl_wrong"}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        refused = Client().get("/api/v1/customers", headers=headers)
        problem(refused, 401, "not_signed_in")
        assert refused["WWW-Authenticate"].startswith("Bearer")


def test_a_session_is_not_accepted(make_member, entity):
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_member("Owner"))
    problem(client.get("/api/v1/customers"), 401, "not_signed_in")
    problem(client.post("/api/v1/period-lock", b'{"through": null}', content_type="application/json"), 401, "not_signed_in")
    assert not PeriodLock.objects.exists()


def test_role_and_scope_are_both_needed(call_as, entity):
    problem(call_as("Auditor").post("/customers", NEW), 403, "permission_missing")
    problem(call_as("Owner", scopes=["market.view"]).post("/customers", NEW), 403, "permission_missing")
    assert call_as("Owner", scopes=["market.view"]).get("/customers").status_code == 200
    assert call_as("Owner", scopes=["market.*"]).post("/customers", NEW).status_code == 200


def test_customers_are_sent_to_the_portal(call_as, entity, make_customers):
    caller = call_as("Customer", customer_id=make_customers("Globex")[0])
    problem(caller.get("/customers"), 403, "forbidden")


def test_a_member_who_left_has_no_token(call_as, entity):
    from topline.team.models import Member

    caller = call_as("Owner")
    Member.objects.update(is_active=False)
    problem(caller.get("/customers"), 401, "not_signed_in")


def test_unknown_addresses_and_methods_are_problems(api):
    problem(api.get("/nothing"), 404, "not_found")
    problem(api.get("/customers/merge/x"), 404, "not_found")
    refused = api.client.delete("/api/v1/customers", headers=api.headers)
    problem(refused, 405, "method_not_allowed")
    assert refused["Allow"]


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 201}, {"limit": "x"}, {"cursor": "nonsense"}, {"cursor": "WyJhIl0"}, {"search": "\0"}]
)
def test_odd_queries_are_refused(api, query):
    assert api.get("/customers", **query).status_code == 422


def test_a_fault_of_ours_is_a_problem_without_details(api, monkeypatch):
    from topline.market import queries

    def fail(**_):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(queries, "customers", fail)
    response = api.get("/customers")
    problem(response, 500, "internal_error")
    assert b"secret detail" not in response.content


def test_the_description_names_each_body_once_and_every_verb_asks_for_a_key():
    schema = assembled.get_openapi_schema()
    operations = [(path, method, op) for path, methods in schema["paths"].items() for method, op in methods.items()]
    assert all(path.startswith("/api/v1/") for path, _, _ in operations)
    for path, method, operation in operations:
        named = {p["name"] for p in operation.get("parameters", ())}
        assert (method == "post") == ("Idempotency-Key" in named), path
        assert operation["security"] == [{"Bearer": []}]
        assert operation["description"], path
    models = {}
    for router in assembled._get_bound_routers():
        for view in router.path_operations.values():
            for operation in view.operations:
                for parameter in operation.signature.params:
                    model = parameter.annotation
                    if isinstance(model, type) and issubclass(model, BaseModel):
                        assert models.setdefault(model.__name__, model) is model
    assert len(models) > 20


def test_the_page_of_the_description_has_nothing_inline(client, db):
    response = client.get("/api/docs")
    page = response.content.decode()
    assert response.status_code == 200
    assert page.count("<script") == page.count("<script src=")
    assert "<style" not in page
    assert "unsafe-inline" not in response["Content-Security-Policy"]
    for address in (
        "/static/ninja/swagger-ui.css",
        "/static/ninja/swagger-ui-bundle.js",
        "/static/api/docs.js",
        "/api/openapi.json",
    ):
        assert address in page
        assert client.get(address).status_code == 200


def test_the_style_and_script_of_all_pages_are_served(client, db):
    for name in ("topline.css", "topline.js", "icon.svg"):
        assert client.get(f"/static/ui/{name}").status_code == 200
