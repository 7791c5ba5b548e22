"""How much will be won, by when and by whom: forecasts of deals as distributions, learned from what was known and when it was known."""
