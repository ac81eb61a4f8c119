"""Rewriters: replacements of torch functions while exporting."""
