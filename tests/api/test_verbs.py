"""Every noun and verb over HTTP, on a small company."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from topline.api.assembly import api as assembled
from topline.billing.models import Invoice
from topline.books.models import Entry
from topline.kernel.actions import registry
from topline.market.models import Customer
from topline.receivables.models import Payment
from topline.team.roles import JOBS

BY_A_PERSON = {
    "team.add_member",
    "team.create_token",
    "books.open_entity",
    "bank.import_statements",
}  # secrets, set-up, files through /imports
SERVED = {"billing.issue_interest_note"}  # by the verb of another room, which says what is claimed


def ok(response):
    assert response.status_code == 200, response.content
    return response.json()


def result(response):
    return ok(response)["result"]


def items(response):
    return ok(response)["items"]


@pytest.fixture
def customer(api):
    return items(api.post("/customers", {"customers": [{"name": "Globex AG", "currency": "EUR"}]}))[0]["customer_id"]


@pytest.fixture
def invoice(api, customer):
    """An open invoice of 119.00 EUR."""
    line = {"description": "Work", "unit_price_nano": 10_000 * 10**9, "tax_rate_ppm": 190_000}
    draft = items(api.post("/invoices", {"invoices": [{"customer_id": customer, "currency": "EUR", "lines": [line]}]}))[0]
    assert draft["total_minor"] == 11_900
    return items(api.post("/invoices/issue", {"invoice_ids": [draft["invoice_id"]], "issue_on": "2026-03-01"}))[0]["invoice_id"]


@pytest.fixture
def payment(api, customer):
    """A payment of 200.00 EUR."""
    body = {"payments": [{"customer_id": customer, "currency": "EUR", "amount_minor": 20_000, "received_on": "2026-03-20"}]}
    return items(api.post("/payments", body))[0]["payment_id"]


def test_customers_are_added_changed_read_and_merged(api, customer):
    (second,) = items(api.post("/customers", {"customers": [{"name": "Globex Ltd", "currency": "EUR", "number": "X-1"}]}))
    held = {"terms": "net 14", "is_on_hold": True}
    assert api.post(f"/customers/{customer}/change", held).status_code == 422
    assert result(api.post(f"/customers/{customer}/change", held | {"reason": "Two invoices 60 days late"})) == customer
    lifted = api.post(f"/customers/{customer}/hold", {"is_on_hold": False, "on": "2026-03-20", "reason": "Paid"})
    assert result(lifted) == customer and not ok(api.get(f"/customers/{customer}"))["is_on_hold"]
    assert api.post(f"/customers/{customer}/hold", {"is_on_hold": True, "on": "2026-03-20"}).status_code == 422
    result(api.post(f"/customers/{customer}/hold", {"is_on_hold": True, "on": "2026-03-20", "reason": "Late again"}))
    result(api.post(f"/customers/{customer}/contacts", {"name": "Ann", "email": "ann@globex.example"}))
    result(api.post(f"/customers/{customer}/addresses", {"line1": "Street 1", "country": "DE"}))
    result(api.post(f"/customers/{customer}/aliases", {"value": "GLBX"}))
    assert result(api.post("/customers/merge", {"keep_id": customer, "merge_id": second["customer_id"]})) == customer
    read = ok(api.get(f"/customers/{second['customer_id']}"))
    assert (read["id"], read["terms"], read["is_on_hold"]) == (customer, "net 14", True)
    assert read["record_ids"] == [customer, second["customer_id"]]
    assert [c["name"] for c in read["contacts"]] == ["Ann"]
    assert read["addresses"][0]["line1"] == "Street 1"
    assert "GLBX" in [a["value"] for a in read["aliases"]]
    assert [c["id"] for c in items(api.get("/customers", search="glbx"))] == [customer]
    assert items(api.get("/duplicates")) == []


def test_an_invoice_is_drafted_issued_paid_and_the_ledger_says_so(api, entity, customer, invoice, payment):
    read = ok(api.get(f"/invoices/{invoice}"))
    assert (read["state"], read["open_minor"], read["lines"][0]["tax_minor"]) == ("open", 11_900, 1_900)
    link = {"payment_id": payment, "invoice_id": invoice, "amount_minor": 11_000, "discount_minor": 900}
    applied = items(api.post("/payments/apply", {"links": [link], "on": "2026-03-20"}))
    assert sorted(a["amount_minor"] for a in applied) == [900, 11_000]
    assert ok(api.get(f"/invoices/{invoice}"))["state"] == "paid"
    assert ok(api.get(f"/payments/{payment}"))["allocated_minor"] == 11_000
    assert len(items(api.get("/allocations", invoice_id=invoice))) == 2
    assert ok(api.get(f"/allocations/{applied[0]['allocation_id']}"))["invoice_id"] == invoice
    refunded = items(api.post(f"/payments/{payment}/refund", {"amount_minor": 9_000, "on": "2026-03-21"}))
    assert refunded[0]["amount_minor"] == 9_000
    balances = items(api.get("/trial-balance", as_of="2026-03-31"))
    assert sum(row["functional_minor"] for row in balances) == 0
    assert next(r for r in balances if r["role"] == "receivable")["balance_minor"] == 0
    movements = items(api.get(f"/customers/{customer}/statement", since="2026-01-01", until="2026-12-31"))
    assert movements[-1]["balance_minor"] == 0


def test_what_was_applied_is_undone_and_a_payment_goes_back(api, invoice, payment):
    link = {"payment_id": payment, "invoice_id": invoice, "amount_minor": 11_900}
    (applied,) = items(api.post("/payments/apply", {"links": [link], "on": "2026-03-20"}))
    (mirror,) = items(api.post("/allocations/unapply", {"allocation_ids": [applied["allocation_id"]], "on": "2026-03-22"}))
    assert mirror["amount_minor"] == -11_900
    assert result(api.post("/payments/return", {"payment_ids": [payment], "on": "2026-03-23"})) == 1
    assert ok(api.get(f"/payments/{payment}"))["state"] == "returned"
    assert ok(api.get(f"/invoices/{invoice}"))["open_minor"] == 11_900


def test_payments_are_matched_and_proposals_decided(api, customer, invoice):
    number = ok(api.get(f"/invoices/{invoice}"))["number"]
    short = {"customer_id": customer, "currency": "EUR", "amount_minor": 6_000, "received_on": "2026-03-20", "reference": number}
    items(api.post("/payments", {"payments": [short, {**short, "amount_minor": 5_000}]}))
    assert items(api.post("/payments/book-bank-lines", {})) == []
    made = items(api.post("/payments/match", {"as_of": "2026-03-25"}))
    assert [m["state"] for m in made] == ["waiting", "waiting"]
    result(api.post(f"/match-proposals/{made[0]['proposal_id']}/reject", {}))
    (applied,) = items(api.post(f"/match-proposals/{made[1]['proposal_id']}/confirm", {"on": "2026-03-25"}))
    assert applied["amount_minor"] == 5_000
    assert sorted(p["state"] for p in items(api.get("/match-proposals"))) == ["confirmed", "rejected"]


def test_invoices_are_credited_void_written_off_and_taken_over(api, customer, invoice):
    note = result(api.post(f"/invoices/{invoice}/credit", {"issue_on": "2026-03-02", "total_minor": 1_900}))
    assert ok(api.get(f"/invoices/{note}"))["kind"] == "credit_note"
    links = {"links": [{"invoice_id": invoice, "amount_minor": 1_900}], "on": "2026-03-02"}
    items(api.post(f"/credit-notes/{note}/apply", links))
    taken = items(
        api.post(
            "/open-items",
            {
                "items": [
                    {
                        "number": "OLD-1",
                        "customer_id": customer,
                        "currency": "EUR",
                        "issued_on": "2026-01-05",
                        "due_on": "2026-02-04",
                        "total_minor": 500,
                    },
                    {
                        "number": "OLD-2",
                        "customer_id": customer,
                        "currency": "EUR",
                        "issued_on": "2026-01-05",
                        "due_on": "2026-02-04",
                        "total_minor": 700,
                    },
                ]
            },
        )
    )
    old = [t["invoice_id"] for t in taken]
    aged = ok(api.get("/aging", as_of="2026-03-31"))
    assert sum(b["open_minor"] for b in aged["buckets"]) == 10_000 + 500 + 700
    assert result(api.post("/invoices/void", {"invoice_ids": [old[0]], "void_on": "2026-03-02", "reason": "twice"})) == 1
    items(api.post("/invoices/write-off", {"invoice_ids": [old[1]], "on": "2026-03-02", "reason": "gone"}))
    assert {i["state"] for i in items(api.get("/invoices", number="OLD-2"))} == {"written_off"}


def test_credits_are_sold_given_used_and_taken_back(api, customer, invoice):
    new = {"customer_id": customer, "currency": "EUR", "name": "Pack", "amount_minor": 20_000}
    sold = result(api.post("/credits", new | {"issue_on": "2026-03-01"}))
    given = result(
        api.post("/credits/grant", new | {"amount_minor": 1_000, "on": "2026-03-01", "because": "An outage", "priority": 1})
    )
    assert api.post("/credits", new | {"issue_on": "2026-03-01", "amount_minor": -1}).status_code == 422
    assert api.post("/credits", new | {"issue_on": "2026-03-01", "expires_on": "2026-03-01"}).status_code == 422
    assert result(api.post(f"/invoices/{invoice}/pay-from-credits", {"on": "2026-03-01"})) == 11_900
    assert api.post(f"/invoices/{invoice}/pay-from-credits", {"on": "2026-03-01"}).status_code == 409
    assert {c["id"]: c["left_minor"] for c in items(api.get("/credits"))} == {sold: 20_000 - 10_900, given: 0}
    note = result(api.post(f"/invoices/{invoice}/credit", {"issue_on": "2026-03-02", "total_minor": 1_900}))
    assert result(api.post(f"/credit-notes/{note}/return-credits", {"on": "2026-03-02"})) == 1_900
    assert api.post(f"/invoices/{invoice}/put-credits-back", {"on": "2026-03-02", "because": "x"}).status_code == 409
    (wallet,) = items(api.get("/wallets"))
    assert result(api.post(f"/wallets/{wallet['id']}/low", {"low_minor": 5_000})) == wallet["id"]
    assert result(api.post(f"/credits/{sold}/take-back", {"on": "2026-03-02", "because": "They leave"}))
    assert result(api.post("/credits/expire", {"as_of": "2026-03-02"})) == 0
    assert [m["kind"] for m in items(api.get("/credit-moves"))] == [
        "bought",
        "granted",
        "drawn",
        "drawn",
        "returned",
        "taken_back",
    ]


def test_bank_cash_and_payroll(api, entity):
    account = result(api.post("/bank-accounts", {"name": "Main", "currency": "EUR"}))
    assert result(api.post(f"/bank-accounts/{account}/change", {"minimum_minor": 500, "credit_line_minor": 9_000})) == account
    assert ok(api.get(f"/bank-accounts/{account}"))["minimum_minor"] == 500
    assert ok(api.get(f"/bank-accounts/{account}"))["credit_line_minor"] == 9_000
    assert [a["id"] for a in items(api.get("/bank-accounts"))] == [account]
    assert ok(api.get("/bank-accounts/balances", as_of="2026-03-31"))["items"][0]["balance_minor"] == 0
    assert items(api.get("/statements")) == items(api.get("/statement-lines", account_id=account)) == []
    plan = result(
        api.post(
            "/payrolls",
            {
                "name": "All",
                "currency": "EUR",
                "frequency": "monthly",
                "first_payday": "2026-03-31",
                "lines": [{"person": "P1", "amount_minor": 300_000}],
            },
        )
    )
    assert ok(api.get(f"/payrolls/{plan}"))["lines"] == [{"person": "P1", "group": "", "amount_minor": 300_000}]
    assert "lines" not in items(api.get("/payrolls"))[0]
    rent = result(
        api.post(
            "/outflows", {"name": "Rent", "currency": "EUR", "amount_minor": 100_000, "first_on": "2026-04-01", "kind": "rent"}
        )
    )
    found = ok(api.get("/cash-forecast", as_of="2026-03-15", every="month"))
    assert found["payrolls"]
    assert found["opening_minor"] == 0
    assert sum(p["out_minor"] for p in found["periods"]) == 3 * 300_000 + 3 * 100_000
    assert [o["id"] for o in items(api.get("/outflows"))] == [rent]
    kept = result(api.post("/payrolls/weigh-calls", {"as_of": "2026-03-15"}))
    assert result(api.post("/payrolls/weigh-calls", {"as_of": "2026-03-15"})) == kept
    helped = ok(api.get("/cash-levers", as_of="2026-03-15", order="days"))
    assert [p["percent"] for p in helped["payrolls"]] == [1, 1, 1] and helped["duties"] == []
    moved = result(
        api.post(f"/outflows/{rent}/defer", {"occurs_on": "2026-05-01", "moved_to": "2026-05-15", "reason": "Payroll"})
    )
    assert items(api.get("/deferrals"))[0]["moved_to"] == "2026-05-15"
    assert result(api.post(f"/deferrals/{moved}/undo")) == moved
    assert items(api.get("/deferrals")) == []
    result(api.post(f"/outflows/{rent}/drop"))
    assert items(api.get("/outflows")) == []


def test_the_ledger_takes_entries_and_locks(api, entity):
    assert items(api.get("/companies"))[0]["key"] == "acme"
    result(api.post("/accounts", {"code": "6999", "name": "Coffee", "kind": "expense"}))
    accounts = {a["role"]: a["code"] for a in items(api.get("/accounts", limit=200))}
    body = {
        "key": "k1",
        "effective_on": "2026-03-01",
        "debit": "6999",
        "credit": accounts["clearing"],
        "amount_minor": 500,
        "currency": "EUR",
    }
    entry = result(api.post("/entries", body))
    assert ok(api.get(f"/entries/{entry}"))["transfers"][0]["amount_minor"] == 500
    back = result(api.post(f"/entries/{entry}/reverse", {"effective_on": "2026-03-02", "reason": "slip"}))
    assert [e["id"] for e in items(api.get("/entries"))] == [entry, back]
    assert result(api.post("/seal")) == 2
    result(api.post("/period-lock", {"through": "2026-03-31"}))
    refused = api.post("/entries", {**body, "key": "k2"})
    assert (refused.status_code, refused.json()["code"]) == (409, "period_locked")
    rates = {"rates": [{"currency": "USD", "on": "2026-03-31", "per_euro": "1.0825"}], "source": "own"}
    assert result(api.post("/rates", rates)) == 1


def test_tasks_and_members(api, make_member, owner):
    clerk = make_member("Billing")
    task = result(api.post("/tasks", {"title": "Call Globex", "assignee_id": clerk.pk, "due_on": "2026-04-01"}))
    assert items(api.get("/tasks", assignee_id=clerk.pk, state="open"))[0]["id"] == task
    result(api.post(f"/tasks/{task}/finish", {"dropped": True}))
    assert ok(api.get(f"/tasks/{task}"))["state"] == "dropped"
    result(api.post(f"/members/{clerk.pk}/roles", {"roles": ["Billing", "Collections"]}))
    result(api.post(f"/members/{clerk.pk}/change", {"name": "Bo"}))
    result(api.post("/areas/billing", {"owner_id": clerk.pk, "deputy_id": None}))
    assert {m["name"]: m["roles"] for m in items(api.get("/members"))}["Bo"] == "Billing, Collections"


def test_a_revoked_token_ends_at_once(api):
    from topline.team.models import ApiToken

    result(api.post(f"/tokens/{ApiToken.objects.get().pk}/revoke"))
    assert api.get("/customers").status_code == 401


def test_a_file_is_uploaded_run_and_undone(api, entity):
    headers = {**api.headers, "Idempotency-Key": "up"}
    upload = {"kind": "customers", "file": SimpleUploadedFile("c.csv", b"name,currency\nInitech,EUR\nHooli,EUR\n")}
    sent = api.client.post("/api/v1/imports", upload, headers=headers)
    batch = result(sent)
    assert (ok(api.get(f"/imports/{batch}"))["state"], Customer.objects.count()) == ("checked", 0)
    assert items(api.get(f"/imports/{batch}/problems")) == []
    assert result(api.post(f"/imports/{batch}/run")) is False
    assert Customer.objects.count() == 2
    assert items(api.get("/imports"))[0]["state"] == "done"
    result(api.post(f"/imports/{batch}/undo", {"on": "2026-03-01"}))
    assert ok(api.get(f"/imports/{batch}"))["state"] == "undone"


def test_an_upload_has_a_largest_size_and_a_profile_is_no_path(api, entity, monkeypatch, tmp_path):
    monkeypatch.setattr("topline.connect.actions.MAX_BYTES", 30)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text("id: p\nkind: customers\ntitle: P\ncolumns: {name: Wer}\n")
    for content, profile, refusal in (
        (b"name,currency\nInitech,EUR\nHooli,EUR\n", "", (422, "c.csv has 36 bytes; at most 30 are read.")),
        (b"Wer\nInitech\n", "p.yaml", (404, "There is no profile 'p.yaml' for customers.")),
    ):
        upload = {"kind": "customers", "profile": profile, "file": SimpleUploadedFile("c.csv", content)}
        answer = api.client.post("/api/v1/imports", upload, headers={**api.headers, "Idempotency-Key": f"up{profile}"})
        assert (answer.status_code, answer.json()["detail"]) == refusal
    assert items(api.get("/imports")) == []


def test_milestones_tell_what_happened(api, customer, invoice):
    told = [m["kind"] for m in items(api.get("/milestones", customer_id=customer))]
    assert told == ["customer_added", "invoice_issued"]


def test_every_action_has_a_verb_or_is_named_as_left_to_a_person():
    offered = {
        operation.auth_param.permission
        for router in assembled._get_bound_routers()
        for view in router.path_operations.values()
        for operation in view.operations
        if operation.methods == ["POST"]
    }
    rooms = {code for code in registry if not code.startswith("test.")}
    assert rooms - offered == BY_A_PERSON | SERVED | JOBS
    assert offered <= rooms


def test_interest_is_read_and_claimed_by_a_rate_that_is_written_down(api, entity, customer, invoice):
    type(entity).objects.filter(pk=entity.pk).update(country="SE")
    asked = {"customer_id": customer, "until": "2027-01-10"}
    (row,) = items(api.get("/interest/claimable", **asked))
    assert row["unknown"].startswith("No published rate is known for the Riksbank's reference rate from 1 Jul 2026")
    wanted = {"customer_id": customer, "invoice_ids": [invoice], "until": "2027-01-10", "issue_on": "2027-01-10"}
    refused = api.post("/interest/claims", wanted)
    assert (refused.status_code, refused.json()["code"]) == (409, "reference_rate_unknown")
    for since in ("2026-07-01", "2027-01-01"):
        result(
            api.post(
                "/reference-rates", {"jurisdiction": "SE", "valid_from": since, "percent": "2.0", "source": "A test"}, key=since
            )
        )
    note = result(api.post("/interest/claims", wanted, key="again"))
    (claim,) = items(api.get("/interest/claims"))
    assert (claim["document_id"], claim["until"], claim["is_standing"]) == (note, "2027-01-10", True)
    assert [r["rate_ppm"] for r in items(api.get("/reference-rates"))] == [20_000, 20_000]
    assert items(api.get("/interest/claimable", **asked)) == []


def test_a_discount_is_offered_written_taken_and_withdrawn(api, entity, customer, invoice, payment):
    wanted = {"offers": [{"invoice_id": invoice, "discount_minor": 238}], "valid_until": "2026-03-25", "on": "2026-03-02"}
    (made,) = items(api.post("/offers", wanted))
    assert made["costs_ppm"] > 0
    again = api.post("/offers", wanted, key="again")
    assert (again.status_code, again.json()["code"]) == (409, "offer_stands")
    result(api.post(f"/offers/{made['offer_id']}/send", {"on": "2026-03-02"}))
    assert items(api.get("/reminders"))[0]["state"] == "held"
    taken = items(api.post(f"/offers/{made['offer_id']}/take", {"payment_id": payment, "on": "2026-03-20"}))
    assert {t["kind"]: t["amount_minor"] for t in taken} == {"payment": 11_662, "discount": 238}
    assert [o["state"] for o in items(api.get("/offers", as_of="2026-03-20"))] == ["taken"]
    assert ok(api.get("/cash-offers", as_of="2026-03-02"))["offers"] == []
    assert result(api.post(f"/offers/{made['offer_id']}/withdraw")) == made["offer_id"]


def test_a_case_is_opened_weighed_chosen_and_closed(api, entity, customer, invoice, make_member):
    clerk = make_member("Collections")
    result(api.post("/areas/collections", {"owner_id": clerk.pk, "deputy_id": None}))
    case = result(api.post("/cases", {"customer_id": customer, "on": "2026-04-01"}))
    assert ok(api.get(f"/cases/{case}"))["debt_minor"] == 11_900
    weighed = ok(api.get(f"/cases/{case}/options", as_of="2026-04-01"))
    assert len(weighed["options"]) == 17 and weighed["best"][0] in {o["option"] for o in weighed["options"]}
    refused = api.post(f"/cases/{case}/assumptions", {"options": {"settlement": {"share_percent": 120}}})
    assert (refused.status_code, refused.json()["code"]) == (422, "impossible_assumption")
    result(
        api.post(f"/cases/{case}/assumptions", {"options": {"settlement": {"share_percent": 90}}, "facts": {"is_insured": True}})
    )
    result(api.post(f"/cases/{case}/choose", {"option": "settlement", "on": "2026-04-01"}))
    refused = api.post(f"/cases/{case}/approve", {"on": "2026-04-01"})
    assert (refused.status_code, refused.json()["code"]) == (403, "approved_by_the_same_person")
    result(api.post(f"/cases/{case}/refuse", {"on": "2026-04-01", "reason": "Call first"}))
    result(api.post(f"/cases/{case}/choose", {"option": "channel", "on": "2026-04-01"}))
    assert {s["assignee_id"] for s in ok(api.get(f"/cases/{case}"))["steps"]} == {clerk.pk}
    result(api.post(f"/cases/{case}/close", {"on": "2026-04-02", "note": "Test"}))
    assert [c["state"] for c in items(api.get("/cases"))] == ["closed"]


def test_a_retry_answers_the_same_and_changes_nothing(api, customer):
    body = {"payments": [{"customer_id": customer, "currency": "EUR", "amount_minor": 500, "received_on": "2026-03-20"}]}
    first, again = (api.post("/payments", body, key="pay-1") for _ in range(2))
    assert ok(first) == ok(again)
    assert (Payment.objects.count(), Entry.objects.count()) == (1, 1)
    body["payments"][0]["amount_minor"] = 501
    other = api.post("/payments", body, key="pay-1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert Payment.objects.count() == 1


def test_a_list_is_walked_page_by_page_with_each_row_once(api, entity, customer, issue):
    made = sorted(issue(customer, *range(100, 111)))
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        answer = ok(api.get("/invoices", limit=3, cursor=cursor))
        seen += [row["id"] for row in answer["items"]]
        cursor, pages = answer["next_cursor"], pages + 1
    assert (seen, pages) == (made, 4)
    assert Invoice.objects.count() == len(made)


def test_of_two_companies_the_named_one_answers(api, owner, entity):
    from topline.books import actions

    actions.open_entity(actor=owner, key="second", name="Second", currency="USD")
    result(api.post("/bank-accounts", {"name": "Main", "currency": "USD"}, company="second"))
    assert items(api.get("/bank-accounts")) == []
    assert [a["currency"] for a in items(api.get("/bank-accounts", company="second"))] == ["USD"]
    assert api.get("/bank-accounts", company="third").status_code == 404


def test_the_market_over_http(api, entity, customer):
    made = result(api.post("/competitors", {"name": "Acid Rain", "segments": ["Enterprise"]}))
    assert result(api.post(f"/competitors/{made}/change", {"website": "https://acid.example"})) == made
    price = {
        "product": "Seat",
        "currency": "EUR",
        "unit_price_nano": 2_500 * 10**9,
        "unit": "user and month",
        "valid_from": "2026-02-01",
        "seen_on": "2026-02-02",
        "source": "page",
    }
    assert result(api.post(f"/competitors/{made}/prices", {"prices": [price]})) == 1
    fact = {"theme": "offering", "kind": "strength", "statement": "Whole", "source": "A test", "since": "2026-02-01"}
    first, second = (result(api.post(f"/competitors/{made}/assessments", fact)) for _ in range(2))
    assert result(api.post(f"/assessments/{first}/review", {"on": "2026-03-01"})) == first
    assert result(api.post(f"/assessments/{second}/retire", {"on": "2026-03-01", "reason": "Twice"})) == second
    card = {"how_to_win": "Be kind", "on": "2026-03-01", "objections": [{"objection": "Dear", "answer": "Count"}]}
    result(api.post(f"/competitors/{made}/battlecard", card))
    result(api.post(f"/competitors/{made}/battlecard/review", {"on": "2026-03-02"}))
    read = ok(api.get(f"/competitors/{made}", as_of="2026-06-01"))
    assert (read["website"], read["prices"][0]["product"], [a["id"] for a in read["assessments"]]) == (
        "https://acid.example",
        "Seat",
        [first],
    )
    assert read["battlecard"]["stale_because"] == ["Reviewed 91 days ago; every 90 is asked for."]
    assert items(api.get("/competitor-prices", as_of="2026-03-01"))[0]["price"] == 25.0
    assert items(api.get("/competitor-prices", as_of="2026-01-01")) == []
    size = {"name": "Enterprise", "accounts": 40, "on": "2026-01-01", "source": "A study"}
    result(api.post("/segments", size))
    (segment,) = items(api.get("/segments", as_of="2026-03-01"))
    assert (segment["accounts"], segment["share_of_accounts"], segment["competitors"]) == (40, 0.0, ["Acid Rain"])
    record = {"kind": "nps", "on": "2026-03-01", "customer_id": customer, "score": 9}
    assert len(items(api.post("/experience-records", {"records": [record] * 15}))) == 15
    assert api.post("/experience-records", {"records": [{**record, "kind": "csat"}]}).json()["field"] == "score"
    assert ok(api.get("/experience", as_of="2026-03-31"))["us"]["nps"]["value"] == 100.0
    assert len(items(api.get("/experience-records"))) == 15
    assert result(api.post("/reading-path", {"steps": [{"brief": f"competitor:{made}"}]})) == 1
    assert result(api.post("/reading-marks", {"brief": f"competitor:{made}"})) == f"competitor:{made}"
    assert {b["key"]: b["position"] for b in items(api.get("/briefs"))} == {"segment:Enterprise": None, f"competitor:{made}": 1}
    assert ok(api.get("/brief", key="segment:Enterprise"))["title"] == "Enterprise"
    assert [c["name"] for c in items(api.get("/competitors"))] == ["Acid Rain"]
