"""The embedded engine: llama.cpp on this machine's processor, in a supervised child process.

`client` is the gateway's side, `process` the child's. Between them stands `contract`, and nothing
else is shared: a bad model file can kill the child, never a gateway worker.
"""
