"""Sequences that cross rooms in one transaction, the handlers of the outbox, and the proofs of `topline verify`."""
