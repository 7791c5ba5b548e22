"""The way in for files: profiles, checked batches, resuming and undoing an import."""
