"""The cascade: an image in, faces out; the engines that run its nets."""
