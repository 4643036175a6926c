"""Arithmetic on boxes and pixels: IoU, offsets, suppression, pyramids, crops. NumPy and OpenCV only."""
