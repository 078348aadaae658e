"""Compares training set-ups on the cached vectors of a frozen encoder."""
