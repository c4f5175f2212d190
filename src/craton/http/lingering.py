"""How our side of a socket is ended, so that what was written is still read."""

import asyncio


def end_our_side(transport: asyncio.Transport) -> None:
    """Close our side after what is written; the client's stays open where that can be told."""
    if not transport.can_write_eof():  # TLS has no half-close in asyncio
        transport.close()
        return
    try:
        transport.write_eof()
    except OSError:  # the client reset the connection a moment ago
        transport.abort()
