"""How fast samples are prepared."""
