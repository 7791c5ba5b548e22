"""Who acts: a key for the records, a name for people, and what they may do. Resolved at sign-in by team, passed down."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Actor:
    """key  `member:7`, `token:3`, `system:worker`; customer_id is set for people of a customer, who see only their own."""

    key: str
    name: str = ""
    permissions: frozenset[str] = field(default_factory=frozenset)
    roles: frozenset[str] = field(default_factory=frozenset)
    customer_id: int | None = None

    def may(self, permission: str) -> bool:
        """Whether the permission (an action's code or `<room>.view...`) is granted."""
        return permission in self.permissions

    @property
    def member_id(self) -> int | None:
        """Id of the member behind the actor, None for system and jobs."""
        kind, _, number = self.key.partition(":")
        return int(number) if kind == "member" and number.isdigit() else None
