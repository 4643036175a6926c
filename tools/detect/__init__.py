"""`gluon-mtcnn detect`: faces in photos and videos, and the files it writes."""
