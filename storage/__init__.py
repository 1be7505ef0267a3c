"""Bytes: where pictures and results are kept."""
