"""How fast packs are read."""
