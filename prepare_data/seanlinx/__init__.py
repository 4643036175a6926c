"""Writers of Seanlinx/mtcnn's layout: loose crops, image lists, imdb cache."""
