"""Leads: people who asked to be contacted."""
