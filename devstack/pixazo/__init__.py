"""A simulator of Pixazo's "Kolors Virtual Try-On" as it looks on the wire; loopback only.

`python -m devstack.pixazo --port 8002` serves it. `app.py` is the whole contract on one page,
`settings.py` says what a test may change while it runs, `compose.py` makes the picture.
"""
