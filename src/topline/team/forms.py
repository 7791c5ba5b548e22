"""Forms of the team room."""

from __future__ import annotations

from django import forms

from topline.team.models import Member
from topline.team.roles import ROLES


class MemberForm(forms.Form):
    """Somebody who may sign in."""

    name = forms.CharField(max_length=200)
    email = forms.EmailField()
    password = forms.CharField(
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), help_text="at least 12 characters; they can change it"
    )
    roles = forms.MultipleChoiceField(choices=[(r, r) for r in ROLES if r != "Customer"], widget=forms.CheckboxSelectMultiple)


class TaskForm(forms.Form):
    """Something to do."""

    title = forms.CharField(max_length=200)
    assignee = forms.TypedChoiceField(coerce=int)
    due_on = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        people = Member.objects.filter(is_active=True, customer_id__isnull=True).order_by("name").values_list("id", "name")[:500]
        self.fields["assignee"].choices = list(people)  # type: ignore[attr-defined]


class TokenForm(forms.Form):
    """An API token."""

    name = forms.CharField(max_length=100)
    scopes = forms.CharField(help_text="rooms or permissions with blanks between, such as: billing.* receivables.view")
