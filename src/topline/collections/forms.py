"""Forms of the collector's desk: small, with the usual answer filled in."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, cast

import polars as pl
from django import forms

from topline.billing.models import OWED
from topline.collections.models import Contact, Dispute
from topline.collections.workspace import Debt
from topline.engine.dunning import CHANNELS, LONGEST_WAIT, Step
from topline.engine.terms import reschedule_by_count
from topline.kernel.errors import Invalid
from topline.kernel.money import Money, format_amount, parse_amount

C, O = Contact.Channel, Contact.Outcome  # noqa: E741  (channels and outcomes)
DAY = forms.DateInput(attrs={"type": "date"})
PLAN_PARTS = 3
WEEK, FORTNIGHT, YEAR = timedelta(days=7), timedelta(days=14), timedelta(days=366)


class DeskForm(forms.Form):
    """A form about one customer's debt."""

    def __init__(self, data: Any = None, *, debt: Debt, auto_id: str = "id_%s", initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial, auto_id=auto_id)

    def offer(self, name: str, choices: list[tuple[Any, str]]) -> None:
        """Set what a field may be chosen from."""
        cast(forms.ChoiceField, self.fields[name]).choices = choices


class CallForm(DeskForm):
    """A contact that has just been."""

    outcome = forms.ChoiceField(choices=[(O.REACHED, "reached"), (O.NOT_REACHED, "not reached"), (O.OTHER, "other")])
    note = forms.CharField(max_length=4000, required=False, label="What was said")
    channel = forms.ChoiceField(label="By", choices=[(c.value, c.label.lower()) for c in C], initial=C.CALL)
    person = forms.CharField(max_length=200, required=False, label="With whom")

    def __init__(self, data: Any = None, *, debt: Debt, auto_id: str = "id_%s") -> None:
        contacts = debt.customer.contacts
        super().__init__(data, debt=debt, initial={"person": contacts[0].name if contacts else ""}, auto_id=auto_id)


class SpokenForm(DeskForm):
    """Something that was said, and how; a call unless told otherwise."""

    channel = forms.ChoiceField(
        label="Said by", required=False, initial=C.CALL, choices=[(c.value, c.label.lower()) for c in C if c != C.NOTE]
    )

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.order_fields([name for name in self.fields if name not in {"channel", "note"}])  # what was said comes first

    def clean_channel(self) -> str:
        return self.cleaned_data["channel"] or C.CALL.value


class PromiseForm(SpokenForm):
    """What the customer says they will pay, and by when; the oldest invoices that nobody promised first, or those of an older promise."""

    due_on = forms.DateField(label="Will pay by", widget=DAY)
    amount = forms.CharField(
        max_length=30, help_text="it covers the oldest invoices first; a part for another day is a promise of its own"
    )
    currency = forms.ChoiceField()
    instead = forms.TypedChoiceField(label="It covers", required=False, coerce=int, empty_value=None)
    note = forms.CharField(max_length=300, required=False)

    def __init__(self, data: Any = None, *, debt: Debt, auto_id: str = "id_%s") -> None:
        sums: dict[str, int] = {}
        for item in debt.chaseable or debt.promisable:
            sums[item["currency"]] = sums.get(item["currency"], 0) + item["ask_minor"]
        standing, instead = debt.standing_promises, None
        if not sums and standing:  # all that could be promised is: it can be promised anew
            instead = standing[0]
            sums[instead.currency] = instead.amount_minor
        first = max(sums, key=lambda c: sums[c], default="")
        told = {
            "due_on": next_workday(debt.as_of + WEEK),
            "currency": first,
            "amount": format_amount(sums.get(first, 0), first, group="") if first else "",
            "instead": instead.pk if instead else None,
        }
        super().__init__(data, debt=debt, initial=told, auto_id=auto_id)
        self.offer("currency", [(c, c) for c in dict.fromkeys([*sums, *(i["currency"] for i in debt.items)])])
        if standing:
            said = [
                (p.pk, f"what {Money(p.amount_minor, p.currency)} by {p.due_on:%-d %b %Y} covered, in its place")
                for p in standing
            ]
            self.offer("instead", [("", "what is not promised yet"), *said])
        else:
            del self.fields["instead"]

    def clean(self) -> dict[str, Any]:
        return _with_amount(self, super().clean() or {}, self.data.get("currency", ""))


class DisputeForm(SpokenForm):
    """What the customer contests; the rest stays due."""

    invoice_id = forms.TypedChoiceField(coerce=int, label="Invoice")
    reason = forms.ChoiceField(choices=[(value, value.replace("_", " ")) for value in Dispute.Reason.values])
    amount = forms.CharField(max_length=30, required=False, help_text="empty: all that is open")
    deadline_on = forms.DateField(label="To be resolved by", widget=DAY)
    note = forms.CharField(max_length=4000, required=False)

    def __init__(self, data: Any = None, *, debt: Debt, auto_id: str = "id_%s") -> None:
        super().__init__(data, debt=debt, initial={"deadline_on": next_workday(debt.as_of + FORTNIGHT)}, auto_id=auto_id)
        free = {i["invoice_id"]: i for i in debt.items if not i["disputed_minor"] and i["kind"] in OWED}
        self.currencies = {str(k): i["currency"] for k, i in free.items()}
        said = {k: f"{i['number']}, {format_amount(i['open_minor'], i['currency'])} {i['currency']}" for k, i in free.items()}
        self.offer("invoice_id", list(said.items()))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        return _with_amount(self, data, self.currencies.get(self.data.get("invoice_id", ""), ""))


class PlanForm(SpokenForm):
    """Dated parts that come to all that is overdue in a currency: three equal ones, a month apart, unless written otherwise."""

    currency = forms.ChoiceField()
    parts = forms.CharField(
        max_length=6000, widget=forms.Textarea(attrs={"rows": 4}), help_text="one a line: the day (2026-12-31), then the amount"
    )
    grace_days = forms.IntegerField(label="Grace, days", min_value=0, max_value=60, initial=3)
    note = forms.CharField(max_length=300, required=False)

    def __init__(self, data: Any = None, *, debt: Debt, auto_id: str = "id_%s") -> None:
        super().__init__(data, debt=debt, initial=_usual_plan(debt), auto_id=auto_id)
        self.offer(
            "currency",
            [(r["currency"], f"{format_amount(r['open_minor'], r['currency'])} {r['currency']}") for r in debt.plannable],
        )
        self.fields["currency"].label = "All that is overdue and not disputed"

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        rows = []
        for line in data.get("parts", "").splitlines():
            day, _, amount = line.strip().partition(" ")
            if day and "currency" in data:
                try:
                    rows.append({"due_on": date.fromisoformat(day), "amount_minor": parse_amount(amount, data["currency"])})
                except Invalid as error:
                    self.add_error("parts", str(error))
                except ValueError:
                    self.add_error("parts", f"{day!r} is no day. Write it as 2026-12-31.")
        data["parts"] = rows
        return data


class RemindForm(DeskForm):
    """A letter of the ladder, now."""

    step = forms.ChoiceField(label="Letter")
    recipient = forms.EmailField(label="To")

    def __init__(self, data: Any = None, *, debt: Debt, ladder: tuple[Step, ...], auto_id: str = "id_%s") -> None:
        oldest = debt.row["oldest_days"] if debt.row else 0
        letters = [s for s in ladder if s.channel == "email" and s.days > 0]
        due = [s.key for s in letters if s.days <= oldest]
        address = next((c.email for c in debt.customer.contacts if c.email), "")
        super().__init__(data, debt=debt, initial={"step": due[-1] if due else "", "recipient": address}, auto_id=auto_id)
        self.offer("step", [(s.key, f"{s.key}, from {s.days} days late") for s in letters])


class HoldForm(DeskForm):
    """Why credit stops, or goes on."""

    reason = forms.CharField(max_length=300, label="Why")

    def __init__(self, data: Any = None, *, debt: Debt, auto_id: str = "id_%s") -> None:
        super().__init__(data, debt=debt, auto_id=auto_id)
        self.fields["reason"].required = not debt.customer.customer.is_on_hold


class ReasonForm(forms.Form):
    """Why something that was agreed ends."""

    reason = forms.CharField(max_length=300, label="Why")


class SnoozeForm(DeskForm):
    """Off the list until a day, a year at most: a debt that is put off for good is forgotten."""

    snoozed_until = forms.DateField(label="Back on", required=False, widget=DAY, help_text="empty: back on the list now")
    note = forms.CharField(max_length=300, required=False, label="Why")
    no_reminders = forms.BooleanField(required=False, label="People write to this customer, the ladder does not")

    def __init__(self, data: Any = None, *, debt: Debt, auto_id: str = "id_%s") -> None:
        silent = debt.desk.no_reminders if debt.desk else False
        self.as_of = debt.as_of
        super().__init__(
            data, debt=debt, initial={"snoozed_until": next_workday(debt.as_of + WEEK), "no_reminders": silent}, auto_id=auto_id
        )

    def clean_snoozed_until(self) -> date | None:
        until: date | None = self.cleaned_data["snoozed_until"]
        if until and until <= self.as_of:
            raise forms.ValidationError("That day is not still to come. Leave it empty to put the customer back on the list.")
        if until and until > self.as_of + YEAR:
            raise forms.ValidationError("A customer is put off by a year at most.")
        return until


class WaysForm(forms.Form):
    """A second, near-equal way of a step, and whether chance deals customers between the two."""

    step = forms.ChoiceField()
    channel = forms.ChoiceField(
        label="Second way by",
        required=False,
        choices=[("", "the same channel"), ("email", "email"), ("call", "call"), ("letter", "letter")],
    )
    template = forms.ChoiceField(label="With the letter", required=False)
    wait_days = forms.IntegerField(label="Days later", min_value=0, max_value=LONGEST_WAIT, initial=0)
    is_randomised = forms.BooleanField(required=False, label="Let chance deal customers between the two ways")

    def __init__(self, data: Any = None, *, steps: list[tuple[str, str]], letters: list[str]) -> None:
        super().__init__(data)
        cast(forms.ChoiceField, self.fields["step"]).choices = steps
        cast(forms.ChoiceField, self.fields["template"]).choices = [("", "the same letter"), *((k, k) for k in letters)]


class LadderForm(forms.Form):
    """What holds for a whole ladder."""

    minimum = forms.CharField(label="Nobody is reminded of less than", max_length=30, required=False)
    quiet_until_hour = forms.IntegerField(label="Messages leave from, o'clock", min_value=0, max_value=23)
    quiet_from_hour = forms.IntegerField(label="until, o'clock", min_value=1, max_value=24)
    is_on = forms.BooleanField(label="On: reminders are written each morning", required=False)


class StepForm(forms.Form):
    """A step of a ladder; without a key it is left out."""

    key = forms.CharField(max_length=40, required=False)
    days = forms.IntegerField(min_value=-60, max_value=720, required=False)
    channel = forms.ChoiceField(choices=[(c, c) for c in CHANNELS], required=False)
    template = forms.ChoiceField(required=False)
    needs_approval = forms.BooleanField(required=False)

    def __init__(self, *args: Any, letters: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["template"]).choices = [("", "no letter"), *((k, k) for k in letters)]
        said = {"key": "Step", "days": "Days", "channel": "By", "template": "Letter", "needs_approval": "Second person"}
        for name, label in said.items():
            self.fields[name].widget.attrs["aria-label"] = label

    def clean(self) -> dict[str, Any]:
        """A step that is named has its day and channel."""
        data = super().clean() or {}
        if data.get("key") and not data.get("DELETE"):
            for name in ("days", "channel"):
                if data.get(name) in (None, "") and name not in self.errors:
                    self.add_error(name, "This step needs it.")
        return data


class _Steps(forms.BaseFormSet):  # type: ignore[type-arg]
    def add_fields(self, form: forms.Form, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["DELETE"].widget.attrs["aria-label"] = "Leave out"


Steps = forms.formset_factory(StepForm, formset=_Steps, extra=2, can_delete=True, max_num=40, absolute_max=60)


class ResolveForm(forms.Form):
    """How a dispute ends."""

    state = forms.ChoiceField(
        label="It ends",
        choices=[("rejected", "rejected: the customer owes it"), ("paid", "paid after all"), ("credited", "credited")],
    )
    credit_note_id = forms.TypedChoiceField(label="Credit note", required=False, coerce=int, empty_value=None)
    resolution = forms.CharField(max_length=300, label="What was agreed")

    def __init__(self, data: Any = None, *, notes: list[tuple[int, str]]) -> None:
        super().__init__(data)
        cast(forms.ChoiceField, self.fields["credit_note_id"]).choices = [("", "none"), *notes]


def _usual_plan(debt: Debt) -> dict[str, Any]:
    if not debt.plannable:
        return {}
    first = debt.plannable[0]
    in_a_month = pl.select(pl.lit(debt.as_of).dt.offset_by("1mo")).item()
    parts = reschedule_by_count(total_minor=first["open_minor"], count=PLAN_PARTS, every_months=1, first_on=in_a_month)
    lines = [f"{day} {format_amount(amount, first['currency'])}" for day, amount in parts]
    return {"currency": first["currency"], "parts": "\n".join(lines), "grace_days": 3}


def next_workday(day: date) -> date:
    """The day itself, or the Monday after it."""
    return day + timedelta(days=7 - day.weekday() if day.weekday() >= 5 else 0)


def _with_amount(form: forms.Form, data: dict[str, Any], currency: str) -> dict[str, Any]:
    """Adds amount_minor; None where no amount was written."""
    text = data.pop("amount", "")
    data["amount_minor"] = None
    if text and currency:
        try:
            data["amount_minor"] = parse_amount(text, currency)
        except Invalid as error:
            form.add_error("amount", str(error))
        else:
            if data["amount_minor"] <= 0:
                form.add_error("amount", "It must be more than zero.")
    return data
