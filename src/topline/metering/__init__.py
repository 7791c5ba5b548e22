"""Metering: what customers use, event by event, each counted once; what a meter counts is apart from what it costs."""
