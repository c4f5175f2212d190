"""The database's history: one revision a file under `versions`, applied by `migrate`."""
