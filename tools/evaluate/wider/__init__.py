"""The WIDER FACE protocol."""
