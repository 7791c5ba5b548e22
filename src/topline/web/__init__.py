"""Pages that draw on many rooms (Today, customer page, search), navigation, health."""
