"""`gluon-mtcnn pipeline`: from annotated photos to an evaluated cascade by a recipe."""
