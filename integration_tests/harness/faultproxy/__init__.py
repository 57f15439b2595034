"""A proxy between an S3 client and a service that makes chosen requests fail in chosen ways.

`rules` says what can go wrong, `proxy` runs it, `addon` does it inside mitmproxy's interpreter.
That interpreter has nothing of ours installed, so this file and `rules` import only the standard
library.
"""
