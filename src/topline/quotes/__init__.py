"""Quotes: what a deal would cost the customer and why, who agreed to it, and the link on which it is accepted."""
