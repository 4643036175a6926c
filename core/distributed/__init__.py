"""Training on several machines: the parameter-server job, collective steps, signs of life."""
