"""Thin servers, one a protocol; none knows another. `app` is the path of every request."""
