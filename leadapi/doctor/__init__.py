"""Checks whether the service can do its work, and says what to do."""
