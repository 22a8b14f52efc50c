"""The page's files, compressed, under an address that changes with what is in them.

All lie below one folder that is named after their content, so that modules find each other by
relative addresses and a browser never has to ask again for what it has.
"""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flask import Blueprint, Flask, Response, current_app, request, send_from_directory
from werkzeug.exceptions import NotFound
from werkzeug.utils import get_content_type

from vton.web.auth import public

bp = Blueprint("assets", __name__, url_prefix="/static")

STATIC = Path(__file__).parent / "static"
CLIENT = Path(__file__).parents[2] / "clients" / "js"
CLIENT_FILES = ("vton-client.js", "vton-client.d.ts")
CLIENT_SECONDS = 300
TYPES = {".css": "text/css", ".js": "text/javascript", ".ts": "text/plain", ".svg": "image/svg+xml"}
"""What is text, and worth compressing; Python's own table depends on the machine."""
YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Assets:
    """The files by their names, and the name of their folder."""

    files: Mapping[str, Path]
    compressed: Mapping[str, bytes]
    folder: str

    @classmethod
    def read(cls) -> "Assets":
        """Read all there are."""
        files = {
            **{name: CLIENT / name for name in CLIENT_FILES},
            **{str(path.relative_to(STATIC)): path for path in _below(STATIC)},
        }
        digest = hashlib.sha256()
        for name in sorted(files):
            digest.update(name.encode() + b"\0" + files[name].read_bytes())
        texts = [name for name, path in files.items() if path.suffix in TYPES]
        compressed = {name: gzip.compress(files[name].read_bytes(), 9, mtime=0) for name in texts}
        return cls(files, compressed, digest.hexdigest()[:16])


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def init_app(app: Flask) -> None:
    """Read the files, and serve them."""
    app.extensions["assets"] = Assets.read()
    app.register_blueprint(bp)
    # Of Flask's own name for it, which the dashboard's pages ask for.
    app.add_url_rule("/static/<path:filename>", "static", show_asset)


def _assets() -> Assets:
    return cast(Assets, current_app.extensions["assets"])


@bp.get("/<any('vton-client.js', 'vton-client.d.ts'):filename>")
@public
def show_client(filename: str) -> Response:
    """Serve the JavaScript client, which pages of any origin may import."""
    response = _file(filename, f"public, max-age={CLIENT_SECONDS}")
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@public
def show_asset(filename: str) -> Response:
    """Serve a file of the page: for good, if it is of the content that was asked for."""
    folder, _, name = filename.partition("/")
    current = folder == _assets().folder
    return _file(name, f"public, max-age={YEAR}, immutable" if current else "no-cache")


def _file(name: str, cache_control: str) -> Response:
    assets = _assets()
    if name not in assets.files:
        raise NotFound
    path = assets.files[name]
    kind = TYPES.get(path.suffix)
    if kind is None:
        response = send_from_directory(path.parent, path.name)
    else:
        response = _text(name, get_content_type(kind, "utf-8"))
    response.headers["Cache-Control"] = cache_control
    return response


def _text(name: str, content_type: str) -> Response:
    """Return a file that is text: compressed, for who takes that, under a tag of its own."""
    assets = _assets()
    small = request.accept_encodings.quality("gzip") > 0
    body = assets.compressed[name] if small else assets.files[name].read_bytes()
    response = Response(body, content_type=content_type)
    response.vary.add("Accept-Encoding")
    if small:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(f"{assets.folder}-gzip" if small else assets.folder)
    response.make_conditional(request)  # without ranges: two parts may be of two encodings
    return response
