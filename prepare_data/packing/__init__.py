"""From planned samples to packs: the photo table, selection, work units, resume."""
