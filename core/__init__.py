"""Nets, losses, packs, caches and the detector: everything that the commands build on."""
