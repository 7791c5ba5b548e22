"""Milestones: what happened, to whom, when, and who may see it. The spine of every customer page."""
