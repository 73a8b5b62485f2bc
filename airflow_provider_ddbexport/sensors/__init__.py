"""Waiting for what the pipeline needs next."""
