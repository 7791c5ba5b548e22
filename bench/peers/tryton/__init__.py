"""Tryton: sale_subscription and account_invoice."""
