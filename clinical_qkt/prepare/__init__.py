"""The command ``prepare``: from a hospital's own files to a checked datalist, a site's YAML and a summary."""
