"""Crop proposals from annotations: positives, parts, negatives and landmark samples."""
