"""How fast a training step is."""
