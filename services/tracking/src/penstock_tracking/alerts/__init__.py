"""Alerts: what runs have to say to people."""
