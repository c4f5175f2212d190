"""EC2 as far as an AI cloud needs it: where capacity is, and how it is asked for."""
