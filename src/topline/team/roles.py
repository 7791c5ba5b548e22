"""Who may do what: one table. A permission is an action's code, or a right to read (`<room>.view`).

Tests walk every action and every address against this table; an action or a page that nobody is granted fails them.
"""

from __future__ import annotations

READ = frozenset(
    {
        "web.today",
        "market.view",
        "catalog.view",
        "pipeline.view",
        "leads.view",
        "quotes.view",
        "billing.view",
        "receivables.view",
        "processor.view",
        "bank.view",
        "treasury.view",
        "books.view",
        "timeline.view",
        "team.view",
        "connect.view",
        "collections.view",
        "cases.view",
        "lifecycle.view",
        "contracts.view",
        "metering.view",
        "recognition.view",
    }
)
SELF = frozenset({"team.account"})
OWN_TASKS = frozenset({"team.add_task", "team.finish_task", "team.create_token", "team.revoke_token", "market.mark_read"})
CUSTOMERS = frozenset(
    {
        "market.add_customers",
        "market.change_customer",
        "market.add_contact",
        "market.add_address",
        "market.add_alias",
        "market.drop_aliases",
    }
)
SELLING = frozenset(
    {
        "pipeline.add_opportunities",
        "pipeline.change_opportunity",
        "pipeline.win_opportunity",
        "pipeline.lose_opportunity",
        "pipeline.submit_call",
        "pipeline.set_deal_contact",
        "pipeline.set_deal_lines",
        "pipeline.set_deal_competitors",
        "lifecycle.set_stage",
        "leads.add_leads",
        "leads.change_lead",
        "leads.qualify_lead",
        "leads.disqualify_lead",
        "leads.convert_lead",
        "leads.link_lead",
        "leads.score_leads",
        "leads.withdraw_leads",
        "quotes.write_quote",
        "quotes.ask_approval",
        "quotes.send_quote",
        "quotes.mark_forecast",
        "quotes.withdraw_quote",
        "contracts.quote_renewal",
    }
)
SALES_TEAM = frozenset(
    {
        "pipeline.change_any",
        "pipeline.add_reps",
        "pipeline.change_rep",
        "pipeline.override_call",
        "pipeline.set_quotas",
        "pipeline.split_quota",
        "pipeline.set_territories",
        "quotes.decide_approval",
        "leads.add_campaign",
        "leads.change_campaign",
        "lifecycle.set_serve_costs",
    }
)
SALES_OPERATIONS = frozenset(
    {"catalog.add_products", "catalog.change_product", "catalog.add_price_book", "catalog.add_prices", "catalog.add_promotion", "catalog.stop_promotion", "catalog.set_bands",
     "catalog.set_volume_steps", "catalog.set_parts", "pipeline.set_stages",
     "pipeline.snapshot_pipeline", "pipeline.withdraw_opportunities", "pipeline.call_for_any", "pipeline.freeze_sales_forecast", "pipeline.ask_rehearsal"}
)  # fmt: skip
LANDSCAPE = frozenset(
    {"market.add_competitor", "market.change_competitor", "market.add_competitor_prices", "market.add_assessment", "market.review_assessment",
     "market.retire_assessment", "market.write_battlecard", "market.review_battlecard", "market.describe_segment", "market.record_experience", "market.set_reading_path"}
)  # fmt: skip
IMPORT = frozenset({"connect.check_file", "connect.run_import", "connect.undo_import"})
INVOICES = frozenset(
    {
        "billing.draft_invoices",
        "billing.issue_invoices",
        "billing.void_invoices",
        "billing.credit_invoice",
        "billing.send_invoices",
        "billing.import_open_items",
    }
)
CASH_APPLICATION = frozenset(
    {
        "processor.plan_charges",
        "processor.drop_method",
        "processor.book_refund",
        "receivables.record_payments",
        "receivables.apply_cash",
        "receivables.apply_credit_note",
        "receivables.unapply",
        "receivables.return_payment",
        "receivables.book_bank_lines",
        "receivables.match_payments",
        "receivables.confirm_match",
        "receivables.reject_match",
        "receivables.take_offer",
        "bank.link_lines",
        "market.add_alias",
        "market.drop_aliases",
    }
)
COLLECTING = frozenset(
    {
        "collections.log_contact",
        "collections.set_desk",
        "collections.record_promise",
        "collections.judge_promises",
        "collections.withdraw_promise",
        "collections.raise_dispute",
        "collections.resolve_dispute",
        "collections.agree_plan",
        "collections.judge_plans",
        "collections.cancel_plan",
        "collections.plan_reminders",
        "collections.remind_customer",
        "collections.release_reminder",
        "collections.drop_reminder",
        "collections.mark_reminder",
        "collections.record_answer",
        "collections.train_timing",
        "receivables.propose_write_off",
        "collections.send_offer",
    }
)
INTEREST = frozenset({"collections.claim_interest", "billing.issue_interest_note", "collections.add_reference_rate"})
CASES = frozenset(
    {"cases.open_case", "cases.set_assumptions", "cases.choose_strategy", "cases.close_case", "market.set_credit_hold"}
)
STATEMENTS = frozenset({"receivables.send_statements"})
OFFERS = frozenset({"receivables.make_offers", "receivables.withdraw_offer", "collections.send_offer"})
CONTRACTS = frozenset(
    {
        "contracts.make_contract",
        "contracts.add_contract",
        "contracts.amend",
        "contracts.change_contract",
        "contracts.add_discount",
        "contracts.end_discount",
        "contracts.sell_credits",
        "contracts.grant_credits",
        "contracts.take_back_credits",
        "contracts.pay_from_credits",
        "contracts.put_credits_back",
        "contracts.bill_again",
        "contracts.return_credits",
        "contracts.set_low_credits",
        "contracts.expire_credits",
        "contracts.renew_due",
        "contracts.set_schedule",
        "contracts.accept_milestone",
        "contracts.withdraw_acceptance",
        "contracts.drop_part",
        "contracts.ask_acceptance",
        "metering.add_meter",
        "metering.record_events",
        "metering.backfill",
        "metering.place_strays",
    }
)
BILL_RUNS = frozenset(
    {
        "contracts.start_run",
        "contracts.bill_part",
        "contracts.sign_run",
        "contracts.void_run",
        "contracts.release_parked",
        "contracts.set_late_usage",
        "billing.add_tax_rate",
    }
)
RECOGNITION = frozenset(
    {
        "recognition.set_rule",
        "recognition.set_standalone_price",
        "recognition.accept_part",
        "recognition.add_variable_amount",
        "recognition.estimate_variable_amount",
        "recognition.treat_amendment",
        "recognition.keep_cost",
        "recognition.close_month",
    }
)
BANK = frozenset({"bank.add_account", "bank.change_account", "bank.import_statements", "bank.undo_statements"})
PLANNING = frozenset(
    {
        "treasury.set_pay_plan",
        "treasury.plan_outflow",
        "treasury.drop_outflow",
        "treasury.defer_outflow",
        "treasury.undo_deferral",
        "treasury.freeze_forecast",
        "treasury.weigh_calls",
    }
)
BOOKS = frozenset(
    {
        "books.describe_entity",
        "books.add_account",
        "books.post_entry",
        "books.reverse_entry",
        "books.lock_period",
        "books.seal",
        "books.add_rates",
    }
)
APPROVALS = frozenset(
    {"receivables.write_off", "receivables.propose_write_off", "receivables.approve_write_off", "receivables.refuse_write_off", "receivables.refund", "processor.ask_refund",
     "collections.set_policy", "market.set_credit_hold", "cases.approve_strategy", "cases.refuse_strategy"}
)  # fmt: skip
PAY = frozenset({"treasury.view_pay"})
AUDIT = frozenset({"team.view_audit"})
PEOPLE = frozenset({"team.add_member", "team.change_member", "team.grant_roles", "team.set_area"})

_ROLES: dict[str, frozenset[str]] = {
    "Owner": READ | STATEMENTS | OWN_TASKS | CUSTOMERS | LANDSCAPE | IMPORT | CONTRACTS | BILL_RUNS | RECOGNITION | INVOICES | CASH_APPLICATION | COLLECTING | INTEREST | CASES | OFFERS | BANK | PLANNING | BOOKS | APPROVALS | PAY | AUDIT | PEOPLE
    | SELLING | SALES_TEAM | SALES_OPERATIONS | {"books.open_entity", "market.merge_customers"},
    "RevOps": READ | OWN_TASKS | CUSTOMERS | CONTRACTS | LANDSCAPE | IMPORT | SELLING | SALES_TEAM | SALES_OPERATIONS | {"market.merge_customers", "team.set_area", "billing.import_open_items", "receivables.record_payments",
                                                       "receivables.apply_cash"},
    "Sales": frozenset({"web.today", "market.view", "catalog.view", "pipeline.view", "leads.view", "lifecycle.view", "contracts.view", "quotes.view", "billing.view", "timeline.view", "team.view"}) | OWN_TASKS | CUSTOMERS | LANDSCAPE | SELLING,
    "Sales manager": frozenset({"web.today", "market.view", "catalog.view", "pipeline.view", "leads.view", "lifecycle.view", "contracts.view", "quotes.view", "billing.view", "receivables.view", "timeline.view", "team.view"}) | OWN_TASKS | CUSTOMERS | LANDSCAPE | SELLING | SALES_TEAM,
    "Billing": (READ - {"treasury.view"}) | STATEMENTS | OWN_TASKS | CUSTOMERS | IMPORT | CONTRACTS | BILL_RUNS | RECOGNITION | INVOICES | CASH_APPLICATION | INTEREST,
    "Collections": (READ - {"treasury.view"}) | STATEMENTS | OWN_TASKS | CASH_APPLICATION | COLLECTING | INTEREST | CASES | {"market.change_customer", "market.add_contact", "billing.send_invoices"},
    "Treasury": READ | OWN_TASKS | IMPORT | BANK | PLANNING | PAY | CASH_APPLICATION | CASES | OFFERS | {"books.add_rates", "books.seal", "collections.add_reference_rate"},
    "Approver": READ | OWN_TASKS | APPROVALS | OFFERS | PAY,
    "Auditor": READ | PAY | AUDIT,
    "Customer": frozenset({"web.portal"}),
}  # fmt: skip

ROLES: dict[str, frozenset[str]] = {role: granted | SELF for role, granted in _ROLES.items()}
JOBS = frozenset(
    {
        "quotes.set_late_costs",
        "quotes.view_quote",
        "quotes.ask_question",
        "quotes.accept_quote",
        "quotes.decline_quote",
        "billing.mark_delivery",
        "receivables.mark_statement",
        "billing.view_document",
        "billing.open_document",
        "processor.begin_payment",
        "processor.note_page",
        "processor.note_answer",
        "processor.note_refund",
        "processor.handle_event",
        "processor.match_payouts",
        "contracts.tell_alerts",
        "contracts.tell_low_credits",
        "metering.move_to_lake",
        "pipeline.keep_rehearsals",
    }
)  # done by jobs, and by whoever holds the link of a quote: no role has them
SYSTEM = JOBS.union(*ROLES.values())


def permissions_of(roles: frozenset[str]) -> frozenset[str]:
    """All that a set of roles may do; an unknown role grants nothing."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))
