"""From packs to weights: batches, losses, metrics, the epoch loop and its checkpoints."""
