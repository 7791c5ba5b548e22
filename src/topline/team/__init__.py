"""People: members, roles and permissions, sign-in, ownership of areas, tasks, API tokens."""
