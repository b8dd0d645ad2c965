"""Events: the history of each lead, in order."""
