"""Each public body and frame format as pure codecs, usable by servers and by clients."""
