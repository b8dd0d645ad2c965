"""Numbers of leads: by day, by source, by status."""
