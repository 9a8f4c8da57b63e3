"""A site: its YAML, its policy, what it let leave, and the questions before anything leaves."""
