"""The embedded engines: models on this machine's processor, each in a supervised child process.

`client` and `embeddings_client` are the gateway's side, over one kind of `link`; `process` and
`embeddings_process` are the child's, over what `serving` does for both. Between them stand
`contract` and `embeddings_contract`: a bad model file can kill the child, never a gateway worker.
"""
