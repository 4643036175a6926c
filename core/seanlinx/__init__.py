"""The files of Seanlinx/mtcnn: imdb caches, image lists, detections.pkl and the pickles under them. No MXNet."""
