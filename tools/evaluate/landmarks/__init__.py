"""Error of the five landmarks."""
