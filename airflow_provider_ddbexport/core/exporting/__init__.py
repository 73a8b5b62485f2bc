"""Asking DynamoDB for exports: what can be asked for, once and only once, and how far what was asked for is."""
