"""MXNet and CUDA: the one place that imports MXNet (`runtime`), what it needs to load, threads, what is installed."""
