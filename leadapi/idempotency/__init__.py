"""Requests that may be sent again: the Idempotency-Key header."""
