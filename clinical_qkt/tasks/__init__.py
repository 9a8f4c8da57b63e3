"""What a label says of an image, and what a loss, a decision and a count follow from it."""
