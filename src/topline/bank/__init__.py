"""Bank accounts, their statements in every common format, and what the bank says stands on them."""
