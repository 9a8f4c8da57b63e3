"""One loop for every training, with or without differential privacy; and networks over lists of images."""
