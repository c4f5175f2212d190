"""One revision a file, each named by its number."""
