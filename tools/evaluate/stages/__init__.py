"""Recall and false positives after each stage, and thresholds chosen by them."""
