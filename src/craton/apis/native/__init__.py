"""Craton's own API under `/craton/v1`, and the signals: health, readiness, metrics."""
