"""Who may do what: every action and every address, for every role and for nobody."""

from __future__ import annotations

import inspect
import re
from zlib import crc32

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver

import topline.config.urls  # noqa: F401  (brings every room and its actions)
from topline.kernel.actions import PermissionMissing, registry
from topline.kernel.actor import Actor
from topline.kernel.models import AuditRecord
from topline.team import actions as team
from topline.team.models import Member
from topline.team.roles import JOBS, ROLES, permissions_of

CODES = sorted(code for code in registry if not code.startswith("test."))
PUBLIC = None
PAGES: dict[str, str | None] = {
    "web:today": "web.today",
    "web:customer": "market.view",
    "web:portal": "web.portal",
    "web:portal_document": "web.portal",
    "web:sign_ins": "team.add_member",
    "web:home": "team.account",
    "web:search": "web.today",
    "books:lock": "books.lock_period",
    "books:describe": "books.describe_entity",
    "books:new_entry": "books.post_entry",
    "books:new_rate": "books.add_rates",
    "books:rates": "books.view",
    "books:reverse_entry": "books.reverse_entry",
    "market:new_address": "market.add_address",
    "market:new_alias": "market.add_alias",
    "market:drop_alias": "market.drop_aliases",
    "market:new_contact": "market.add_contact",
    "receivables:apply_credit_note": "receivables.apply_credit_note",
    "web:figures": "web.today",
    "web:figure": "web.today",
    "web:healthz": PUBLIC,
    "web:readyz": PUBLIC,
    "web:market": "market.view",
    "web:segment": "market.view",
    "web:price_position": "market.view",
    "web:briefs": "market.view",
    "web:brief": "market.view",
    "landscape:new_competitor": "market.add_competitor",
    "landscape:competitor": "market.view",
    "landscape:edit_competitor": "market.change_competitor",
    "landscape:new_price": "market.add_competitor_prices",
    "landscape:new_assessment": "market.add_assessment",
    "landscape:write_battlecard": "market.write_battlecard",
    "landscape:review_battlecard": "market.review_battlecard",
    "landscape:review_assessment": "market.review_assessment",
    "landscape:retire_assessment": "market.retire_assessment",
    "landscape:describe_segment": "market.describe_segment",
    "landscape:experience": "market.view",
    "landscape:new_experience": "market.record_experience",
    "landscape:reading": "market.view",
    "landscape:mark_read": "market.mark_read",
    "landscape:set_reading_path": "market.set_reading_path",
    "market:customers": "market.view",
    "market:new_customer": "market.add_customers",
    "market:duplicates": "market.view",
    "market:merge": "market.merge_customers",
    "market:edit": "market.change_customer",
    "catalog:products": "catalog.view",
    "catalog:product": "catalog.view",
    "catalog:new": "catalog.add_products",
    "catalog:new_price": "catalog.add_prices",
    "catalog:change": "catalog.change_product",
    "catalog:parts": "catalog.set_parts",
    "catalog:volumes": "catalog.set_volume_steps",
    "catalog:books": "catalog.view",
    "catalog:new_book": "catalog.add_price_book",
    "catalog:promotions": "catalog.view",
    "catalog:new_promotion": "catalog.add_promotion",
    "catalog:stop_promotion": "catalog.stop_promotion",
    "catalog:bands": "catalog.view",
    "catalog:set_bands": "catalog.set_bands",
    "lifecycle:customers": "lifecycle.view",
    "lifecycle:cohorts": "lifecycle.view",
    "lifecycle:value": "lifecycle.view",
    "lifecycle:margins": "lifecycle.view",
    "lifecycle:serve_costs": "lifecycle.set_serve_costs",
    "lifecycle:set_stage": "lifecycle.set_stage",
    "pipeline:stages": "pipeline.set_stages",
    "pipeline:territories": "pipeline.view",
    "pipeline:set_territories": "pipeline.set_territories",
    "pipeline:against": "pipeline.view",
    "pipeline:set_contact": "pipeline.set_deal_contact",
    "pipeline:set_lines": "pipeline.set_deal_lines",
    "pipeline:set_competitors": "pipeline.set_deal_competitors",
    "recognition:months": "recognition.view",
    "recognition:close": "recognition.close_month",
    "recognition:waterfall": "recognition.view",
    "recognition:remaining": "recognition.view",
    "recognition:rules": "recognition.view",
    "recognition:product_rule": "recognition.set_rule",
    "recognition:contract": "recognition.view",
    "recognition:cost": "recognition.keep_cost",
    "recognition:item_rule": "recognition.set_rule",
    "recognition:accept": "recognition.accept_part",
    "recognition:costs": "recognition.view",
    "recognition:prices": "recognition.view",
    "recognition:set_price": "recognition.set_standalone_price",
    "recognition:product_what_if": "recognition.view",
    "recognition:what_if": "recognition.view",
    "recognition:add_variable": "recognition.add_variable_amount",
    "recognition:estimate": "recognition.estimate_variable_amount",
    "recognition:treat": "recognition.treat_amendment",
    "metering:usage": "metering.view",
    "metering:new_meter": "metering.add_meter",
    "metering:place_strays": "metering.place_strays",
    "contracts:contracts": "contracts.view",
    "contracts:new": "contracts.add_contract",
    "contracts:from_quote": "contracts.make_contract",
    "contracts:renewals": "contracts.view",
    "contracts:quote_renewal": "contracts.quote_renewal",
    "contracts:runs": "contracts.view",
    "contracts:preview": "contracts.view",
    "contracts:start": "contracts.start_run",
    "contracts:tax_rates": "billing.add_tax_rate",
    "contracts:release": "contracts.release_parked",
    "contracts:set_late_usage": "contracts.set_late_usage",
    "contracts:run": "contracts.view",
    "contracts:go_on": "contracts.bill_part",
    "contracts:sign": "contracts.sign_run",
    "contracts:void_run": "contracts.void_run",
    "contracts:send": "billing.send_invoices",
    "billing:send": "billing.send_invoices",
    "invoice_link:document": PUBLIC,
    "invoice_link:pdf": PUBLIC,
    "invoice_link:xml": PUBLIC,
    "contracts:contract": "contracts.view",
    "contracts:change": "contracts.change_contract",
    "contracts:amend": "contracts.amend",
    "contracts:recurring": "contracts.view",
    "contracts:new_discount": "contracts.add_discount",
    "contracts:end_discount": "contracts.end_discount",
    "contracts:wallets": "contracts.view",
    "contracts:wallet": "contracts.view",
    "contracts:sell_credits": "contracts.sell_credits",
    "contracts:grant_credits": "contracts.grant_credits",
    "contracts:take_back_credits": "contracts.take_back_credits",
    "contracts:low_credits": "contracts.set_low_credits",
    "contracts:pay_from_credits": "contracts.pay_from_credits",
    "contracts:put_credits_back": "contracts.put_credits_back",
    "contracts:bill_again": "contracts.bill_again",
    "contracts:return_credits": "contracts.return_credits",
    "leads:leads": "leads.view",
    "leads:new": "leads.add_leads",
    "leads:score": "leads.score_leads",
    "leads:campaigns": "leads.view",
    "leads:new_campaign": "leads.add_campaign",
    "leads:lead": "leads.view",
    "leads:change": "leads.change_lead",
    "leads:qualify": "leads.qualify_lead",
    "leads:disqualify": "leads.disqualify_lead",
    "leads:convert": "leads.convert_lead",
    "quotes:quotes": "quotes.view",
    "quotes:new": "quotes.write_quote",
    "quotes:realisation": "quotes.view",
    "quotes:quote": "quotes.view",
    "quotes:write": "quotes.write_quote",
    "quotes:ask": "quotes.ask_approval",
    "quotes:send": "quotes.send_quote",
    "quotes:mark": "quotes.mark_forecast",
    "quotes:withdraw": "quotes.withdraw_quote",
    "quotes:pdf": "quotes.view",
    "quotes:decide": "quotes.decide_approval",
    "quote_link:quote": PUBLIC,
    "quote_link:pdf": PUBLIC,
    "quote_link:accept": PUBLIC,
    "quote_link:ask": PUBLIC,
    "quote_link:decline": PUBLIC,
    "pipeline:deals": "pipeline.view",
    "pipeline:board": "pipeline.view",
    "pipeline:funnel": "pipeline.view",
    "pipeline:statistics": "pipeline.view",
    "pipeline:waterfall": "pipeline.view",
    "pipeline:people": "pipeline.view",
    "pipeline:quotas": "pipeline.view",
    "pipeline:split": "pipeline.split_quota",
    "pipeline:set_quota": "pipeline.set_quotas",
    "pipeline:forecast": "pipeline.view",
    "pipeline:call": "pipeline.submit_call",
    "pipeline:accuracy": "pipeline.view",
    "pipeline:new_rep": "pipeline.add_reps",
    "pipeline:change_rep": "pipeline.change_rep",
    "pipeline:rehearse": "pipeline.ask_rehearsal",
    "pipeline:deal": "pipeline.view",
    "pipeline:new": "pipeline.add_opportunities",
    "pipeline:change": "pipeline.change_opportunity",
    "pipeline:move": "pipeline.change_opportunity",
    "pipeline:win": "pipeline.win_opportunity",
    "pipeline:lose": "pipeline.lose_opportunity",
    "billing:invoices": "billing.view",
    "billing:new_invoice": "billing.draft_invoices",
    "billing:invoice": "billing.view",
    "pay:invoice": PUBLIC,
    "pay:simulator": PUBLIC,
    "pay:webhook": PUBLIC,
    "processor:intents": "processor.view",
    "processor:charge": "processor.plan_charges",
    "processor:drop_method": "processor.drop_method",
    "processor:refund": "processor.ask_refund",
    "processor:book_refund": "processor.book_refund",
    "contracts:in_use": "contracts.view",
    "contracts:explained": "billing.view",
    "contracts:schedules": "contracts.view",
    "contracts:schedule": "contracts.set_schedule",
    "contracts:accept": "contracts.accept_milestone",
    "contracts:withdraw": "contracts.withdraw_acceptance",
    "contracts:drop": "contracts.drop_part",
    "contracts:ask": "contracts.ask_acceptance",
    "milestone_link:milestone": PUBLIC,
    "billing:pdf": "billing.view",
    "billing:xml": "billing.view",
    "billing:check": "billing.view",
    "billing:void": "billing.void_invoices",
    "billing:credit": "billing.credit_invoice",
    "receivables:payments": "receivables.view",
    "receivables:matches": "receivables.view",
    "receivables:run_match": "receivables.match_payments",
    "receivables:confirm_match": "receivables.confirm_match",
    "receivables:reject_match": "receivables.reject_match",
    "receivables:undo_match": "receivables.unapply",
    "receivables:take_back": "receivables.return_payment",
    "receivables:new_payment": "receivables.record_payments",
    "receivables:payment": "receivables.view",
    "receivables:apply": "receivables.apply_cash",
    "receivables:return": "receivables.return_payment",
    "receivables:refund": "receivables.refund",
    "receivables:unapply": "receivables.unapply",
    "receivables:take_offer": "receivables.take_offer",
    "receivables:settlement": "billing.view",
    "receivables:write_off": "receivables.write_off",
    "receivables:propose_write_off": "receivables.propose_write_off",
    "receivables:write_offs": "receivables.view",
    "receivables:approve_write_off": "receivables.approve_write_off",
    "receivables:refuse_write_off": "receivables.refuse_write_off",
    "receivables:aging": "receivables.view",
    "receivables:statement": "receivables.view",
    "receivables:statements": "receivables.view",
    "receivables:send_statements": "receivables.send_statements",
    "collections:worklist": "collections.view",
    "collections:board": "collections.view",
    "collections:ways": "collections.set_policy",
    "collections:ladders": "collections.view",
    "collections:ladder": "collections.set_policy",
    "collections:rates": "collections.view",
    "collections:workspace": "collections.view",
    "collections:claim_interest": "collections.claim_interest",
    "collections:call": "collections.log_contact",
    "collections:promise": "collections.record_promise",
    "collections:dispute": "collections.raise_dispute",
    "collections:plan": "collections.agree_plan",
    "collections:remind": "collections.remind_customer",
    "collections:hold": "market.change_customer",
    "collections:snooze": "collections.set_desk",
    "collections:withdraw_promise": "collections.withdraw_promise",
    "collections:cancel_plan": "collections.cancel_plan",
    "collections:resolve": "collections.resolve_dispute",
    "collections:release": "collections.release_reminder",
    "collections:drop": "collections.drop_reminder",
    "bank:accounts": "bank.view",
    "bank:new_account": "bank.add_account",
    "bank:account": "bank.view",
    "treasury:cash": "treasury.view",
    "treasury:scenarios": "treasury.view",
    "treasury:variance": "treasury.view",
    "treasury:plan_outflow": "treasury.plan_outflow",
    "treasury:drop_outflow": "treasury.drop_outflow",
    "treasury:defer_outflow": "treasury.defer_outflow",
    "treasury:undo_deferral": "treasury.undo_deferral",
    "bank:change_account": "bank.change_account",
    "treasury:payroll": "treasury.view_pay",
    "treasury:offers": "treasury.view",
    "treasury:make_offers": "receivables.make_offers",
    "treasury:offer": "receivables.make_offers",
    "collections:write_offer": "collections.send_offer",
    "treasury:withdraw_offer": "receivables.withdraw_offer",
    "treasury:write_offer": "collections.send_offer",
    "cases:cases": "cases.view",
    "cases:new": "cases.open_case",
    "cases:case": "cases.view",
    "cases:assume": "cases.set_assumptions",
    "cases:choose": "cases.choose_strategy",
    "cases:approve": "cases.approve_strategy",
    "cases:refuse": "cases.refuse_strategy",
    "cases:close": "cases.close_case",
    "books:trial_balance": "books.view",
    "books:entries": "books.view",
    "books:entry": "books.view",
    "books:account": "books.view",
    "connect:imports": "connect.view",
    "connect:upload": "connect.check_file",
    "connect:batch": "connect.view",
    "connect:run": "connect.run_import",
    "connect:undo": "connect.undo_import",
    "team:members": "team.view",
    "team:add_member": "team.add_member",
    "team:grant_roles": "team.grant_roles",
    "team:change_member": "team.change_member",
    "team:set_area": "team.set_area",
    "team:tasks": "team.view",
    "team:add_task": "team.add_task",
    "team:finish_task": "team.finish_task",
    "team:audit": "team.view_audit",
    "team:account": "team.account",
    "team:create_token": "team.create_token",
    "team:revoke_token": "team.revoke_token",
    "api:openapi-json": PUBLIC,
    "api:openapi-view": PUBLIC,
    "api:api-root": PUBLIC,
}
READS = [  # noun of the API: permission
    ("customers", "market.view"), ("customers/1", "market.view"), ("duplicates", "market.view"),
    ("products", "catalog.view"), ("products/1", "catalog.view"), ("prices", "catalog.view"), ("price-books", "catalog.view"), ("promotions", "catalog.view"), ("discount-bands", "catalog.view"),
    ("lifecycle", "lifecycle.view"), ("lifecycle/1", "lifecycle.view"), ("lifecycle/cohorts", "lifecycle.view"), ("lifecycle/value", "lifecycle.view"), ("lifecycle/margins", "lifecycle.view"),
    ("territories", "pipeline.view"),
    ("meters", "metering.view"), ("usage-events", "metering.view"), ("usage-backfills", "metering.view"), ("stray-events", "metering.view"), ("contracts", "contracts.view"), ("contracts/1", "contracts.view"), ("contracts/1/amendment-preview", "contracts.amend"), ("bill-preview", "contracts.view"), ("recurring-revenue", "contracts.view"), ("late-usage", "contracts.view"), ("schedule-parts", "contracts.view"), ("wallets", "contracts.view"), ("credits", "contracts.view"), ("credit-moves", "contracts.view"), ("out-of-balance", "contracts.view"), ("contract-survival", "contracts.view"), ("bill-runs", "contracts.view"), ("parked-contracts", "contracts.view"), ("renewals", "contracts.view"), ("tax-rates", "contracts.view"),
    ("deliveries", "billing.view"), ("online-payments", "processor.view"), ("online-refunds", "processor.view"), ("payouts", "processor.view"), ("saved-methods", "processor.view"),
    ("recognition/balances", "recognition.view"), ("recognition/waterfall", "recognition.view"), ("recognition/remaining", "recognition.view"), ("recognition/months", "recognition.view"), ("recognition/contracts/1", "recognition.view"),
    ("recognition/contracts/1/what-if", "recognition.view"), ("recognition/what-if", "recognition.view"), ("recognition/costs", "recognition.view"), ("recognition/prices", "recognition.view"), ("recognition/prices/observed", "recognition.view"),
    ("lead-funnel", "leads.view"),
    ("leads", "leads.view"), ("leads/1", "leads.view"), ("campaigns", "leads.view"), ("campaign-results", "leads.view"),
    ("quotes", "quotes.view"), ("quotes/1", "quotes.view"), ("quote-approvals", "quotes.view"),
    ("opportunities", "pipeline.view"), ("opportunities/1", "pipeline.view"), ("stages", "pipeline.view"), ("sales-people", "pipeline.view"),
    ("pipeline", "pipeline.view"), ("funnel", "pipeline.view"), ("sales-statistics", "pipeline.view"), ("pipeline-waterfall", "pipeline.view"),
    ("sales-forecast", "pipeline.view"), ("forecast-accuracy", "pipeline.view"), ("quotas", "pipeline.view"), ("quotas/preview", "pipeline.view"),
    ("segments", "market.view"), ("competitors", "market.view"), ("competitors/1", "market.view"), ("competitor-prices", "market.view"), ("experience", "market.view"),
    ("experience-records", "market.view"), ("briefs", "market.view"), ("brief", "market.view"),
    ("invoices", "billing.view"), ("invoices/1", "billing.view"), ("invoices/1/e-invoice", "billing.view"), ("invoices/1/creditable", "billing.view"),
    ("payments", "receivables.view"), ("payments/1", "receivables.view"), ("allocations", "receivables.view"), ("allocations/1", "receivables.view"),
    ("worklist", "collections.view"), ("contacts", "collections.view"), ("promises", "collections.view"), ("disputes", "collections.view"), ("payment-plans", "collections.view"),
    ("near-equal-steps", "collections.view"), ("interest/claimable", "collections.view"), ("interest/claims", "collections.view"), ("reference-rates", "collections.view"), ("reminders", "collections.view"), ("write-offs", "receivables.view"), ("offers", "receivables.view"), ("cash-offers", "treasury.view"),
    ("match-proposals", "receivables.view"), ("aging", "receivables.view"), ("customers/1/statement", "receivables.view"), ("statements-of-account", "receivables.view"), ("statement-deliveries", "receivables.view"),
    ("bank-accounts", "bank.view"), ("bank-accounts/balances", "bank.view"), ("bank-accounts/1", "bank.view"), ("statements", "bank.view"), ("statement-lines", "bank.view"),
    ("cash-forecast", "treasury.view"), ("cash-outlook", "treasury.view"), ("cash-levers", "treasury.view"), ("cash-scenarios", "treasury.view"), ("cash-variance", "treasury.view"), ("payrolls", "treasury.view"), ("payrolls/1", "treasury.view_pay"), ("outflows", "treasury.view"), ("deferrals", "treasury.view"),
    ("cases", "cases.view"), ("cases/1", "cases.view"), ("cases/1/options", "cases.view"),
    ("companies", "books.view"), ("accounts", "books.view"), ("entries", "books.view"), ("entries/1", "books.view"), ("trial-balance", "books.view"),
    ("milestones", "timeline.view"), ("members", "team.view"), ("tasks", "team.view"), ("tasks/1", "team.view"),
    ("imports", "connect.view"), ("imports/1", "connect.view"), ("imports/1/problems", "connect.view"),
]  # fmt: skip
VERBS = [  # verb of the API: its action is the permission
    ("customers", "market.add_customers"), ("customers/merge", "market.merge_customers"), ("customers/1/change", "market.change_customer"), ("customers/1/hold", "market.set_credit_hold"),
    ("customers/1/contacts", "market.add_contact"), ("customers/1/addresses", "market.add_address"), ("customers/1/aliases", "market.add_alias"), ("customers/1/aliases/drop", "market.drop_aliases"),
    ("products", "catalog.add_products"), ("products/1/change", "catalog.change_product"), ("price-books", "catalog.add_price_book"), ("prices", "catalog.add_prices"),
    ("promotions", "catalog.add_promotion"), ("promotions/1/stop", "catalog.stop_promotion"), ("discount-bands", "catalog.set_bands"), ("products/1/volume-steps", "catalog.set_volume_steps"),
    ("lifecycle/1/stage", "lifecycle.set_stage"), ("lifecycle/serve-costs", "lifecycle.set_serve_costs"),
    ("recognition/months", "recognition.close_month"), ("recognition/rules", "recognition.set_rule"), ("recognition/acceptances", "recognition.accept_part"), ("recognition/costs", "recognition.keep_cost"),
    ("recognition/prices", "recognition.set_standalone_price"), ("recognition/variable-amounts", "recognition.add_variable_amount"), ("recognition/variable-amounts/1/estimates", "recognition.estimate_variable_amount"), ("recognition/amendments/1/treatment", "recognition.treat_amendment"),
    ("territories", "pipeline.set_territories"), ("opportunities/1/people", "pipeline.set_deal_contact"), ("opportunities/1/lines", "pipeline.set_deal_lines"), ("opportunities/1/competitors", "pipeline.set_deal_competitors"),
    ("meters", "metering.add_meter"), ("usage-events", "metering.record_events"), ("usage-backfills", "metering.backfill"), ("stray-events/place", "metering.place_strays"), ("contracts", "contracts.add_contract"), ("contracts/from-quote", "contracts.make_contract"), ("contracts/1/change", "contracts.change_contract"), ("contracts/1/amend", "contracts.amend"), ("contracts/1/discounts", "contracts.add_discount"), ("contract-discounts/1/end", "contracts.end_discount"), ("credits", "contracts.sell_credits"), ("credits/grant", "contracts.grant_credits"), ("credits/1/take-back", "contracts.take_back_credits"), ("invoices/1/pay-from-credits", "contracts.pay_from_credits"), ("invoices/1/put-credits-back", "contracts.put_credits_back"), ("invoices/1/bill-again", "contracts.bill_again"), ("credit-notes/1/return-credits", "contracts.return_credits"), ("wallets/1/low", "contracts.set_low_credits"), ("credits/expire", "contracts.expire_credits"), ("contracts/renew-due", "contracts.renew_due"),
    ("invoices/send", "billing.send_invoices"), ("contract-items/1/schedule", "contracts.set_schedule"), ("schedule-parts/1/accept", "contracts.accept_milestone"), ("schedule-parts/1/withdraw", "contracts.withdraw_acceptance"), ("schedule-parts/1/drop", "contracts.drop_part"), ("schedule-parts/1/ask", "contracts.ask_acceptance"), ("bill-runs", "contracts.start_run"), ("bill-runs/1/part", "contracts.bill_part"), ("bill-runs/1/sign", "contracts.sign_run"), ("bill-runs/1/void", "contracts.void_run"), ("parked-contracts/1/release", "contracts.release_parked"), ("tax-rates", "billing.add_tax_rate"), ("late-usage", "contracts.set_late_usage"), ("contracts/1/quote-renewal", "contracts.quote_renewal"), ("leads/withdraw", "leads.withdraw_leads"),
    ("products/1/parts", "catalog.set_parts"), ("leads", "leads.add_leads"), ("leads/1/change", "leads.change_lead"), ("leads/1/qualify", "leads.qualify_lead"), ("leads/1/disqualify", "leads.disqualify_lead"),
    ("leads/1/convert", "leads.convert_lead"), ("leads/1/link", "leads.link_lead"), ("leads/score", "leads.score_leads"), ("campaigns", "leads.add_campaign"), ("campaigns/1/change", "leads.change_campaign"), ("quotes", "quotes.write_quote"), ("quotes/1/ask", "quotes.ask_approval"), ("quotes/1/send", "quotes.send_quote"), ("quotes/1/mark-forecast", "quotes.mark_forecast"),
    ("quotes/1/withdraw", "quotes.withdraw_quote"), ("quote-approvals/1/decide", "quotes.decide_approval"),
    ("opportunities", "pipeline.add_opportunities"), ("opportunities/1/change", "pipeline.change_opportunity"), ("opportunities/1/win", "pipeline.win_opportunity"),
    ("opportunities/1/lose", "pipeline.lose_opportunity"), ("opportunities/withdraw", "pipeline.withdraw_opportunities"), ("pipeline/snapshot", "pipeline.snapshot_pipeline"),
    ("stages", "pipeline.set_stages"), ("sales-people", "pipeline.add_reps"), ("sales-people/1/change", "pipeline.change_rep"),
    ("quotas", "pipeline.set_quotas"), ("quotas/split", "pipeline.split_quota"), ("forecast-calls", "pipeline.submit_call"),
    ("forecast-calls/override", "pipeline.override_call"), ("sales-forecast/freeze", "pipeline.freeze_sales_forecast"), ("sales-forecast/rehearse", "pipeline.ask_rehearsal"),
    ("segments", "market.describe_segment"), ("competitors", "market.add_competitor"), ("competitors/1/change", "market.change_competitor"), ("competitors/1/prices", "market.add_competitor_prices"),
    ("competitors/1/assessments", "market.add_assessment"), ("competitors/1/battlecard", "market.write_battlecard"), ("competitors/1/battlecard/review", "market.review_battlecard"),
    ("assessments/1/review", "market.review_assessment"), ("assessments/1/retire", "market.retire_assessment"), ("experience-records", "market.record_experience"),
    ("reading-path", "market.set_reading_path"), ("reading-marks", "market.mark_read"),
    ("invoices", "billing.draft_invoices"), ("invoices/issue", "billing.issue_invoices"), ("invoices/void", "billing.void_invoices"),
    ("invoices/1/credit", "billing.credit_invoice"), ("open-items", "billing.import_open_items"),
    ("payments", "receivables.record_payments"), ("payments/apply", "receivables.apply_cash"), ("payments/return", "receivables.return_payment"),
    ("payments/1/refund", "receivables.refund"), ("allocations/unapply", "receivables.unapply"), ("invoices/write-off", "receivables.write_off"),
    ("write-offs", "receivables.propose_write_off"), ("write-offs/1/approve", "receivables.approve_write_off"), ("write-offs/1/refuse", "receivables.refuse_write_off"),
    ("credit-notes/1/apply", "receivables.apply_credit_note"), ("payments/match", "receivables.match_payments"),
    ("payments/book-bank-lines", "receivables.book_bank_lines"), ("match-proposals/1/confirm", "receivables.confirm_match"),
    ("match-proposals/1/reject", "receivables.reject_match"), ("statement-lines/link", "bank.link_lines"),
    ("interest/claims", "collections.claim_interest"), ("reference-rates", "collections.add_reference_rate"), ("contacts", "collections.log_contact"), ("desk", "collections.set_desk"), ("promises", "collections.record_promise"),
    ("promises/judge", "collections.judge_promises"), ("promises/1/withdraw", "collections.withdraw_promise"), ("disputes", "collections.raise_dispute"), ("disputes/1/resolve", "collections.resolve_dispute"),
    ("payment-plans", "collections.agree_plan"), ("payment-plans/judge", "collections.judge_plans"), ("payment-plans/1/cancel", "collections.cancel_plan"),
    ("dunning-policies", "collections.set_policy"), ("reminders/plan", "collections.plan_reminders"), ("reminders", "collections.remind_customer"), ("reminders/answers", "collections.record_answer"),
    ("reminders/1/release", "collections.release_reminder"), ("reminders/1/drop", "collections.drop_reminder"), ("reminders/1/mark", "collections.mark_reminder"),
    ("offers", "receivables.make_offers"), ("offers/1/withdraw", "receivables.withdraw_offer"), ("offers/1/take", "receivables.take_offer"), ("offers/1/send", "collections.send_offer"),
    ("payment-timing/train", "collections.train_timing"), ("statements-of-account/send", "receivables.send_statements"),
    ("bank-accounts", "bank.add_account"), ("bank-accounts/1/change", "bank.change_account"), ("statements/undo", "bank.undo_statements"),
    ("payrolls", "treasury.set_pay_plan"), ("outflows", "treasury.plan_outflow"), ("outflows/1/drop", "treasury.drop_outflow"), ("outflows/1/defer", "treasury.defer_outflow"), ("deferrals/1/undo", "treasury.undo_deferral"), ("forecasts/freeze", "treasury.freeze_forecast"), ("payrolls/weigh-calls", "treasury.weigh_calls"),
    ("cases", "cases.open_case"), ("cases/1/assumptions", "cases.set_assumptions"), ("cases/1/choose", "cases.choose_strategy"), ("cases/1/approve", "cases.approve_strategy"),
    ("cases/1/refuse", "cases.refuse_strategy"), ("cases/1/close", "cases.close_case"),
    ("companies/describe", "books.describe_entity"), ("online-payments/charge", "processor.plan_charges"), ("saved-methods/1/drop", "processor.drop_method"), ("online-payments/1/refund", "processor.ask_refund"), ("online-refunds/1/book", "processor.book_refund"), ("accounts", "books.add_account"), ("entries", "books.post_entry"), ("entries/1/reverse", "books.reverse_entry"), ("period-lock", "books.lock_period"),
    ("seal", "books.seal"), ("rates", "books.add_rates"),
    ("tasks", "team.add_task"), ("tasks/1/finish", "team.finish_task"), ("members/99/change", "team.change_member"), ("members/99/roles", "team.grant_roles"),
    ("areas/billing", "team.set_area"), ("tokens/999999999/revoke", "team.revoke_token"),
    ("imports", "connect.check_file"), ("imports/99/run", "connect.run_import"), ("imports/1/undo", "connect.undo_import"),
]  # fmt: skip
PAY_SEEN_BY = {"Owner", "Treasury", "Approver", "Auditor"}


def addresses(resolver: URLResolver | None = None, space: str = "", prefix: str = "") -> list[tuple[str, str]]:
    """Every address of the program: name with its namespace, and the address with 1 for each part that is open."""
    found = []
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
            found += addresses(pattern, inner, route)
        else:
            found.append((f"{space}{pattern.name}", route))
    return found


def filled(route: str) -> str:
    return "/" + re.sub(r"<(?:slug:)?key>", "billing", re.sub(r"<(?:int|str):\w+>", "1", route))


def is_allauths(route: str) -> bool:
    return route.startswith("sign-in/")


def is_api(route: str) -> bool:
    return route.startswith("api/v1")


def tries(role: str, permission: str, place: str) -> bool:
    """Whether a role that may open a page, or call the API, does so here: the Owner everywhere, of the others one a place, each some; all are refused where they may not."""
    may = sorted(name for name, granted in ROLES.items() if permission in granted and name not in {"Owner", "Customer"})
    return role in {"Owner", "Customer"} or role == may[crc32(place.encode()) % len(may)]


def member(role: str, customer_id: int | None = None) -> Client:
    made = Member.objects.filter(email=f"{role.replace(' ', '')}@example.com".lower()).first()
    if made is None:
        from topline.team.queries import system_actor

        made = Member.objects.get(
            pk=team.add_member(
                actor=system_actor("test"), email=f"{role.replace(' ', '')}@example.com", name=role, roles=[role], password="long enough words 42", customer_id=customer_id
            )
        )  # fmt: skip
    client = Client(raise_request_exception=False)
    client.force_login(made)
    return client


@pytest.fixture
def company(entity, make_customers, issue, pay, apply, owner):
    """Something to find under each id 1."""
    from datetime import date

    import polars as pl

    from topline.bank import actions as bank
    from topline.cases import actions as cases
    from topline.catalog import actions as catalog
    from topline.pipeline import actions as pipeline
    from topline.pipeline import people
    from topline.treasury import actions as treasury

    (customer,) = make_customers("Globex")
    (invoice,) = issue(customer, 10_000)
    apply(pay(customer, 6_000), invoice, 4_000)
    bank.add_account(actor=owner, entity_id=entity.pk, name="Main", currency="EUR")
    lines = pl.DataFrame({"person": ["P1"], "group": [""], "amount_minor": [777_100]})
    treasury.set_pay_plan(
        actor=owner,
        entity_id=entity.pk,
        name="All",
        currency="EUR",
        frequency="monthly",
        first_payday=date(2026, 3, 31),
        lines=lines,
    )
    cases.open_case(actor=owner, entity_id=entity.pk, customer_id=customer, on=date(2026, 3, 31))
    catalog.add_products(actor=owner, products=pl.DataFrame({"code": ["PUMP"], "name": ["Pump"]}))
    rep = people.add_reps(actor=owner, reps=pl.DataFrame({"name": ["Ann"]}))["rep_id"][0]
    deal = {"name": "Pumps", "rep_id": rep, "stage": "proposal", "currency": "EUR", "opened_on": date(2026, 3, 1)}
    pipeline.add_opportunities(actor=owner, entity_id=entity.pk, opportunities=pl.DataFrame([deal]), known_on=date(2026, 3, 1))
    return customer


@pytest.mark.parametrize("code", CODES)
def test_without_the_permission_an_action_is_refused_before_anything_happens(code, db):
    spec = registry[code]
    inputs = {n: None for n, p in inspect.signature(spec.function).parameters.items() if p.default is p.empty and n != "actor"}
    for role in ROLES:
        actor = Actor(key=f"member:{role}", name=role, permissions=permissions_of(frozenset({role})), roles=frozenset({role}))
        if not actor.may(code):
            with pytest.raises(PermissionMissing) as refused:
                spec.function(actor=actor, **inputs)
            assert refused.value.details["permission"] == code
    assert not AuditRecord.objects.exists()


def test_every_action_is_granted_to_some_role_or_done_by_jobs_and_every_grant_is_an_action_or_a_right_to_read():
    granted = frozenset().union(*ROLES.values())
    assert set(CODES) - JOBS <= granted and not JOBS & granted and set(CODES) >= JOBS
    assert {
        c
        for c in granted - set(CODES)
        if not c.endswith((".view", "view_pay", "view_audit", ".today", ".portal", ".account", ".change_any", ".call_for_any"))
    } == set()


def test_the_customer_role_grants_the_portal_and_ones_own_account_alone():
    assert ROLES["Customer"] == {"web.portal", "team.account"}


def test_pay_per_person_is_seen_by_few():
    assert {role for role, granted in ROLES.items() if "treasury.view_pay" in granted} == PAY_SEEN_BY


def test_every_address_stands_in_the_table():
    named = {name for name, route in addresses() if not is_allauths(route) and not is_api(route)}
    assert named == set(PAGES)
    offered = {re.sub(r"<int:\w+>", "1", route).removeprefix("api/v1/") for _, route in addresses() if is_api(route)}
    listed = {re.sub(r"\b9{2,}\b", "1", path) for path, _ in [*READS, *VERBS]}
    assert {path.replace("<key>", "billing") for path in offered} == listed


def test_nobody_is_sent_to_the_sign_in_page(company, client):
    for name, route in addresses():
        if is_allauths(route) or is_api(route) or PAGES[name] is PUBLIC:
            continue
        answers = [getattr(client, method)(filled(route)) for method in ("get", "post")]
        assert {a.status_code for a in answers} <= {302, 405}, name
        assert any(a.status_code == 302 and a["Location"].startswith("/sign-in/") for a in answers), name


def test_what_is_public_answers_anybody(company, client):
    for name, route in addresses():
        if not is_allauths(route) and not is_api(route) and PAGES[name] is PUBLIC:
            assert client.get(filled(route)).status_code in {200, 404, 405}, name


def test_the_sign_in_pages_never_fail_for_nobody(company):
    client = Client(raise_request_exception=False)
    for name, route in addresses():
        if is_allauths(route) and "<" not in route and "(?P" not in route:
            assert client.get("/" + route).status_code < 500, name


@pytest.mark.parametrize("role", sorted(ROLES))
def test_pages_open_to_those_with_the_permission_and_to_no_others(company, role):
    client = member(role, company if role == "Customer" else None)
    for name, route in addresses():
        if is_allauths(route) or is_api(route) or PAGES[name] is PUBLIC:
            continue
        for method in ("get", "post"):
            if name == "team:revoke_token" and method == "post":
                continue  # it needs a token of one's own: see test_refusals of the API
            if PAGES[name] in ROLES[role] and not tries(role, PAGES[name], name):
                continue
            status = getattr(client, method)(filled(route)).status_code
            if PAGES[name] in ROLES[role]:
                assert status != 403, (name, method)
                assert status < 500, (name, method, status)
            else:
                assert status in {403, 405}, (name, method, status)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_the_api_answers_those_with_the_permission_and_no_others(company, role):
    member(role, company if role == "Customer" else None)
    made = Member.objects.get(name=role)
    maker = Actor(key=f"member:{made.pk}", permissions=frozenset({"team.create_token"}))
    rooms = sorted({f"{code.partition('.')[0]}.*" for granted in ROLES.values() for code in granted})
    secret = team.create_token(actor=maker, name="t", scopes=rooms)
    client = Client(raise_request_exception=False)
    for kind, table in (("get", READS), ("post", VERBS)):
        for path, permission in table:
            if permission in ROLES[role] and not tries(role, permission, path):
                continue
            headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": f"{kind}-{path}"}
            body = {} if kind == "get" else {"data": b"{}", "content_type": "application/json"}
            status = getattr(client, kind)(f"/api/v1/{path}", headers=headers, **body).status_code
            assert getattr(client, kind)(f"/api/v1/{path}", **body).status_code == 401, path
            if permission in ROLES[role] and role != "Customer":
                assert status != 403, path
                assert status < 500, path
            else:
                assert status == 403, path


@pytest.mark.parametrize("role", sorted(set(ROLES) - PAY_SEEN_BY))
def test_no_page_shows_a_persons_pay_to_others(company, role):
    client = member(role, company if role == "Customer" else None)
    for address in ("/cash/payroll/1/", "/api/v1/payrolls/1"):
        response = client.get(address)
        assert response.status_code in {401, 403}
        assert b"7,771" not in response.content
