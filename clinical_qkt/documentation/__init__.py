"""Reference pages, schemas and the worked example, made from code."""
