"""`gluon-mtcnn doctor`: what this machine has to run on."""
