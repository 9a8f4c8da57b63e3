"""After go-live: whether new images, and what the model says of them, are still as they were."""
