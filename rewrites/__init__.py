"""The rewrites that come with surgery: one file, one rewrite, named after the file."""
