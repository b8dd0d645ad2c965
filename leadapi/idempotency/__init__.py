"""The Idempotency-Key header, which makes requests safe to repeat."""
