"""The milestones that Topline knows: their words, their place in the flow, and whether the customer sees them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MilestoneKind:
    """label  what people read; stage  which part of the flow; tone  good, bad or neutral, for the eye."""

    label: str
    stage: str
    visible_to_customer: bool = False
    tone: str = "neutral"


KINDS: dict[str, MilestoneKind] = {
    "customer_added": MilestoneKind("Customer added", "customer"),
    "customer_merged": MilestoneKind("Customers merged", "customer"),
    "customer_changed": MilestoneKind("Customer changed", "customer"),
    "credit_hold_set": MilestoneKind("Put on credit hold", "customer", tone="bad"),
    "credit_hold_released": MilestoneKind("Credit hold released", "customer", tone="good"),
    "stage_set": MilestoneKind("Stage said by hand", "customer"),
    "experience_told": MilestoneKind("Told us how we do", "customer"),
    "contract_signed": MilestoneKind("Contract signed", "billing", visible_to_customer=True, tone="good"),
    "contract_amended": MilestoneKind("Contract amended", "billing", visible_to_customer=True),
    "usage_reached": MilestoneKind("Usage reached an amount", "billing", visible_to_customer=True),
    "part_accepted": MilestoneKind("Part accepted", "billing", visible_to_customer=True, tone="good"),
    "acceptance_asked": MilestoneKind("Acceptance asked for", "billing", visible_to_customer=True),
    "milestone_accepted": MilestoneKind("Milestone accepted", "billing", visible_to_customer=True, tone="good"),
    "milestone_reopened": MilestoneKind("Milestone open again", "billing", visible_to_customer=True, tone="bad"),
    "contract_renewed": MilestoneKind("Contract renewed", "billing", visible_to_customer=True, tone="good"),
    "contract_ended": MilestoneKind("Contract ended", "billing", visible_to_customer=True, tone="bad"),
    "invoice_issued": MilestoneKind("Invoice issued", "billing", visible_to_customer=True),
    "invoice_imported": MilestoneKind("Open item taken over", "billing", visible_to_customer=True),
    "invoice_sent": MilestoneKind("Invoice sent", "billing", visible_to_customer=True),
    "invoice_viewed": MilestoneKind("Invoice received", "billing", visible_to_customer=True, tone="good"),
    "invoice_bounced": MilestoneKind("Invoice bounced", "billing", tone="bad"),
    "invoice_due": MilestoneKind("Invoice due", "billing", visible_to_customer=True),
    "invoice_overdue": MilestoneKind("Invoice overdue", "billing", visible_to_customer=True, tone="bad"),
    "invoice_paid": MilestoneKind("Invoice paid", "cash", visible_to_customer=True, tone="good"),
    "invoice_reopened": MilestoneKind("Invoice open again", "cash", visible_to_customer=True, tone="bad"),
    "invoice_voided": MilestoneKind("Invoice voided", "billing", visible_to_customer=True),
    "invoice_disputed": MilestoneKind("Invoice disputed", "billing", visible_to_customer=True, tone="bad"),
    "invoice_written_off": MilestoneKind("Invoice written off", "cash", tone="bad"),
    "write_off_proposed": MilestoneKind("Write-off proposed", "cash", tone="bad"),
    "write_off_refused": MilestoneKind("Write-off refused", "cash"),
    "credit_note_issued": MilestoneKind("Credit note issued", "billing", visible_to_customer=True),
    "credit_note_applied": MilestoneKind("Credit note applied", "cash", visible_to_customer=True),
    "payment_received": MilestoneKind("Payment received", "cash", visible_to_customer=True, tone="good"),
    "statement_sent": MilestoneKind("Statement of account sent", "cash", visible_to_customer=True),
    "statement_bounced": MilestoneKind("Statement of account bounced", "cash", tone="bad"),
    "charge_failed": MilestoneKind("Charge declined", "cash", visible_to_customer=True, tone="bad"),
    "payment_applied": MilestoneKind("Payment applied", "cash", visible_to_customer=True),
    "payment_unapplied": MilestoneKind("Payment unapplied", "cash"),
    "payment_returned": MilestoneKind("Payment returned by the bank", "cash", visible_to_customer=True, tone="bad"),
    "payment_refunded": MilestoneKind("Payment refunded", "cash", visible_to_customer=True),
    "interest_claimed": MilestoneKind("Interest on late payment claimed", "collections", visible_to_customer=True),
    "customer_contacted": MilestoneKind("Contact", "collections"),
    "discount_offered": MilestoneKind("Discount offered", "collections", visible_to_customer=True),
    "payment_promised": MilestoneKind("Payment promised", "collections", visible_to_customer=True),
    "promise_kept": MilestoneKind("Promise kept", "collections", tone="good"),
    "promise_broken": MilestoneKind("Promise broken", "collections", tone="bad"),
    "promise_withdrawn": MilestoneKind("Promise withdrawn", "collections"),
    "dispute_resolved": MilestoneKind("Dispute resolved", "collections", visible_to_customer=True),
    "plan_agreed": MilestoneKind("Payment plan agreed", "collections", visible_to_customer=True),
    "plan_completed": MilestoneKind("Payment plan completed", "collections", visible_to_customer=True, tone="good"),
    "plan_broken": MilestoneKind("Payment plan broken", "collections", visible_to_customer=True, tone="bad"),
    "plan_cancelled": MilestoneKind("Payment plan ended by agreement", "collections", visible_to_customer=True),
    "reminder_sent": MilestoneKind("Reminder sent", "collections", visible_to_customer=True),
    "reminder_bounced": MilestoneKind("Reminder bounced", "collections", tone="bad"),
    "reminder_answered": MilestoneKind("Reminder answered", "collections"),
    "case_opened": MilestoneKind("Case opened", "collections"),
    "case_strategy_chosen": MilestoneKind("Strategy chosen", "collections"),
    "case_approved": MilestoneKind("Strategy approved", "collections", tone="good"),
    "case_refused": MilestoneKind("Strategy refused", "collections", tone="bad"),
    "case_closed": MilestoneKind("Case closed", "collections"),
    "lead_captured": MilestoneKind("Lead came in", "sales"),
    "lead_qualified": MilestoneKind("Lead qualified", "sales", tone="good"),
    "lead_disqualified": MilestoneKind("Lead disqualified", "sales", tone="bad"),
    "lead_converted": MilestoneKind("Lead became a deal", "sales", tone="good"),
    "opportunity_added": MilestoneKind("Deal added", "sales"),
    "opportunity_moved": MilestoneKind("Deal moved", "sales"),
    "opportunity_reopened": MilestoneKind("Deal open again", "sales", tone="good"),
    "opportunity_won": MilestoneKind("Deal won", "sales", tone="good"),
    "opportunity_lost": MilestoneKind("Deal lost", "sales", tone="bad"),
    "quote_sent": MilestoneKind("Quote sent", "sales", visible_to_customer=True),
    "quote_viewed": MilestoneKind("Quote viewed", "sales", tone="good"),
    "quote_question": MilestoneKind("Question on a quote", "sales", visible_to_customer=True),
    "quote_accepted": MilestoneKind("Quote accepted", "sales", visible_to_customer=True, tone="good"),
    "quote_declined": MilestoneKind("Quote declined", "sales", visible_to_customer=True, tone="bad"),
    "quote_withdrawn": MilestoneKind("Quote taken back", "sales", visible_to_customer=True),
    "statement_imported": MilestoneKind("Bank statement taken in", "bank"),
    "import_finished": MilestoneKind("File imported", "data"),
    "import_undone": MilestoneKind("Import undone", "data"),
}
