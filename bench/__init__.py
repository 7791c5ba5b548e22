"""Speeds as ratios measured in one run: `python -m bench [NAME ...]`, on the database that TOPLINE_DATABASE_URL names."""
