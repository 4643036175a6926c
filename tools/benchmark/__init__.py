"""`gluon-mtcnn benchmark ...`: the project's own figures, a room for each command."""
