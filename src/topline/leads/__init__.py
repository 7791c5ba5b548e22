"""Leads: who may become a customer, where they came from and what that cost, how likely they are, and how they become a deal."""
