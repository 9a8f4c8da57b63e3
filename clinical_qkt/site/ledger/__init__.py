"""What left a site and what was told of its patients, for good."""
