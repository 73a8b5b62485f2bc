"""Buttons that lead from a task to the AWS console."""
