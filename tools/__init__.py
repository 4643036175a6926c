"""The commands of ``gluon-mtcnn``; each module adds its arguments and runs."""
