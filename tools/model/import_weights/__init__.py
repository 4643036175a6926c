"""`gluon-mtcnn import`: foreign checkpoints to a model folder."""
