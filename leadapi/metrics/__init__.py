"""Numbers about the running service, for Prometheus."""
