"""`/`: one page that uses the public API only."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    render_template,
    send_from_directory,
)

from vton.web.auth import public

bp = Blueprint("demo", __name__)

CLIENT = Path(__file__).parents[2] / "clients" / "js"
CLIENT_SECONDS = 300
PHOTOS = Path(__file__).parent / "static" / "photos"


@dataclass(frozen=True)
class Demo:
    """What the page has to know: where to sign in, and as whom one click may."""

    supabase_url: str
    publishable_key: str
    email: str
    password: str = field(repr=False)


@bp.get("/static/<any('vton-client.js', 'vton-client.d.ts'):filename>")
@public
def show_client(filename: str) -> Response:
    """Serve the JavaScript client, which pages of any origin may import."""
    response = send_from_directory(CLIENT, filename, max_age=CLIENT_SECONDS)
    response.mimetype = "text/javascript" if filename.endswith(".js") else "text/plain"
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@bp.get("/")
@public
def show_page() -> Response:
    """Show the page."""
    demo = cast(Demo, current_app.extensions["demo"])
    photos = sorted(photo.stem for photo in PHOTOS.glob("*.jpg"))
    response = make_response(render_template("index.html", config=_config(demo), photos=photos))
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Content-Security-Policy"] = _policy(demo.supabase_url)
    return response


def _config(demo: Demo) -> dict[str, str]:
    """What page.js reads. The password is there only where a sample user is configured."""
    return {
        "supabaseUrl": demo.supabase_url,
        "publishableKey": demo.publishable_key,
        "demoEmail": demo.email,
        "demoPassword": demo.password if demo.email else "",
    }


def _policy(supabase_url: str) -> str:
    """Nothing inline, nothing from elsewhere but Supabase's answers, and pictures."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"connect-src 'self' {supabase_url}",
            f"img-src 'self' blob: data: https: {supabase_url}",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    )
