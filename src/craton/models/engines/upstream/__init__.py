"""Models behind a server elsewhere: what they are asked in, with which credential, how often."""
