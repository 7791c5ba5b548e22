"""Revenue recognition: what contracts have earned, what customers have paid ahead or owe beyond their invoices, posted month by month."""
