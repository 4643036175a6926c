"""`gluon-mtcnn pack`: a Seanlinx image list or imdb cache to a pack."""
