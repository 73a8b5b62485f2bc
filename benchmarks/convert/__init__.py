"""Exports to convert, and what converts them."""
