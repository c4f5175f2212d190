"""Craton: an AI cloud that its operator owns."""

__version__ = "0.1.0"
