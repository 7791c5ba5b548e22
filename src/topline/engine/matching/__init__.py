"""Cash application: which payment settles which open items, how sure that is, and why. Columns in, columns out."""

from topline.engine.matching.propose import Policy, Proposals, propose

__all__ = ["Policy", "Proposals", "propose"]
