"""One engine a file; each is imported only when a model asks for it."""
