"""Accuracy over processor time of presets, engines, models and other detectors."""
