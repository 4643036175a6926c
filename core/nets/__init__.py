"""P-, R- and O-Net as HybridBlocks, the model folder that holds them, and their graphs for other programs."""
