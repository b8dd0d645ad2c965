"""Events: what has happened, in the order it happened."""
