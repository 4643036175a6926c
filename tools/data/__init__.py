"""Commands that make, convert and show data: prepare, pack, split, inspect."""
