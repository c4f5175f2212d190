"""The AWS wire, driven by botocore's service models rather than by handlers written by hand.

    routes   method and path → operation          parse     request → checked document
    errors   fault → the operation's own error     render    document → answer

`wire.py` puts them together for the gateway.
"""
