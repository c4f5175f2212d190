"""Units, ids, clocks, errors and the other words every layer uses; knows nothing of any domain."""
