"""How often one client may call."""
