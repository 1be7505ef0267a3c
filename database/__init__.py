"""Rows: the tables and the atomic SQL on them."""
