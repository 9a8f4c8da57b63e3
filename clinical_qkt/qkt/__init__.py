"""The method: a student gains queried classes from teachers; ``transfer`` reads like a method section."""
