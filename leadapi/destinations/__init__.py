"""Destinations: where events are sent, and the deliveries that send them."""
