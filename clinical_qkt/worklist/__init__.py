"""Which unlabelled images a person should label, and what the labels say of a model on the whole archive."""
