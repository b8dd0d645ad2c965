"""Restore backups of the database."""
