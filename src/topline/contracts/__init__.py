"""Contracts: what was agreed, amended and renewed, and the run that bills what is due of it, exactly once."""
