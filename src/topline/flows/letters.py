"""Handing a letter to the mail system, which may refuse it for good."""

from __future__ import annotations

from smtplib import SMTPRecipientsRefused

from django.core.mail import EmailMessage


def refused(mail: EmailMessage) -> str:
    """Send a letter to its one recipient; returns what the mail system said where it will never take it (RFC 5321, 5yz), else nothing.

    What it refuses for now (4yz), and anything else that goes wrong, is raised, so that it is tried again.
    """
    try:
        mail.send()
    except SMTPRecipientsRefused as error:
        said = [(code, bytes(text)) for code, text in error.recipients.values()]
        if not all(500 <= code < 600 for code, _ in said):
            raise
        return "; ".join(f"{code} {text.decode(errors='replace')}" for code, text in said)
    return ""
