"""Increments applied to a full export, or to the snapshot published before them."""
