"""What every room may use and what needs none of them: errors, files, values, memory, terms."""
