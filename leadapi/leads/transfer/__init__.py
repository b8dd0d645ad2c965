"""Leads from files and into files."""
