"""The FDDB protocol."""
