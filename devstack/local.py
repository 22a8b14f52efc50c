"""Who the stand-ins answer: programs of this machine, and no page that a browser of it shows."""

from flask import Flask, Response, request

LOCAL_HOSTS = ["localhost", "127.0.0.1"]
"""What a request may name as its host. A page whose own name is made to lead here names that."""


def refuse_pages(app: Flask, prefix: str | None) -> None:
    """Answer nothing under a control panel's prefix to what a page of any origin sends."""

    def refuse() -> Response | None:
        if request.path.startswith(f"{prefix}/") and request.headers.get("Origin"):
            return Response("for programs, not for pages", 403, mimetype="text/plain")
        return None

    app.before_request(refuse)
