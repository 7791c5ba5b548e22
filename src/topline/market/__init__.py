"""Customers: who they are, how they are named elsewhere, whom to talk to, on which terms they buy."""
