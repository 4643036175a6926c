"""MXNet and CUDA: the one place that imports MXNet, and what it needs to load."""
