"""The quarantine of leads that spam traps caught. Their senders get the same response as for a stored lead."""
