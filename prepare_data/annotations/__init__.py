"""Readers of annotation files: WIDER FACE, landmark lists, CSV, Seanlinx's anno.txt."""
