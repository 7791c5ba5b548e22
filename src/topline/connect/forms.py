"""Forms of the import room."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from topline.connect.actions import ensure_readable
from topline.connect.readers import profiles
from topline.kernel.errors import DomainError
from topline.kernel.money import currencies


class ImportForm(forms.Form):
    """A file and how to read it."""

    kind = forms.ChoiceField(
        choices=[
            ("receivables", "Open invoices"),
            ("payments", "Payments"),
            ("customers", "Customers"),
            ("payroll", "Payroll"),
            ("bank", "Bank statement"),
            ("rates", "Exchange rates"),
            ("products", "Products and list prices"),
            ("reps", "Sales people"),
            ("opportunities", "Deals of a CRM"),
            ("quotas", "Quotas of sales people"),
            ("experience", "Customer experience"),
            ("leads", "Leads"),
        ]
    )
    file = forms.FileField(help_text="CSV, XLSX, or a bank file in any common format")
    profile = forms.ChoiceField(required=False, help_text="how to read it; bank files need none")
    currency = forms.ChoiceField(choices=[(c, c) for c in currencies()], help_text="where the file names none")
    bank_account = forms.CharField(required=False, help_text="where the file names none")
    date_order = forms.ChoiceField(
        required=False, choices=[("", "as the file tells"), ("dmy", "day first"), ("mdy", "month first"), ("ymd", "year first")]
    )
    decimal_mark = forms.ChoiceField(required=False, choices=[("", "as the file tells"), (".", "point"), (",", "comma")])
    first_payday = forms.DateField(required=False, help_text="for payroll", widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["profile"].choices = [("", "the usual one"), *[(p.id, f"{p.id}: {p.title}") for p in profiles()]]  # type: ignore[attr-defined]

    def clean_file(self) -> UploadedFile[Any]:
        """The file, when it is not too large to be read."""
        file: UploadedFile[Any] = self.cleaned_data["file"]
        try:
            ensure_readable(file.size or 0, name=file.name or "The file")
        except DomainError as error:
            raise forms.ValidationError(str(error)) from error
        return file
