"""Counts, means and covariances of a class's features, and classifiers made of them in closed form."""
