"""Invoices and credit notes: drafts, legal documents, totals that always add up."""
