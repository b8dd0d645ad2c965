"""Retention: erase leads that nobody has changed for too long."""
