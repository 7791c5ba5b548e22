"""Columns in, columns out: the arithmetic of revenue as functions on frames. Knows neither Django nor any table."""
