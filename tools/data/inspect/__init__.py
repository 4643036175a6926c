"""`gluon-mtcnn inspect`: what is in a pack, model folder, cache or list."""
