"""Getting paid: contacts logged, promises, disputes, reminders, payment plans, cases, and what to do next."""
