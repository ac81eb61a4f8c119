"""One file is one rewrite, found by its name."""
