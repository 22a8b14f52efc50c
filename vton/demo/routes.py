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
    url_for,
)

from vton.demo.assets import Assets
from vton.web.auth import public
from vton.web.envelope import language
from vton.words import translated, translations

bp = Blueprint("demo", __name__)


@dataclass(frozen=True)
class Demo:
    """What the page has to know: where to sign in, and as whom one click may."""

    supabase_url: str
    publishable_key: str
    email: str
    password: str = field(repr=False)


@bp.get("/")
@public
def show_page() -> Response:
    """Show the page."""
    demo = cast(Demo, current_app.extensions["demo"])
    assets = cast(Assets, current_app.extensions["assets"])
    chosen = language()
    page = render_template(
        "index.html",
        language=chosen,
        config=_config(demo, chosen),
        photos=[Path(name).stem for name in assets.files if name.endswith(".jpg")],
        asset=lambda name: url_for("static", filename=f"{assets.folder}/{name}"),
        t=lambda text: translated(text, chosen),
    )
    response = make_response(page)
    response.vary.add("Accept-Language")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Content-Security-Policy"] = _policy(demo.supabase_url)
    return response


def _config(demo: Demo, language: str) -> dict[str, object]:
    """What the page's scripts read; the password only where a sample user is configured."""
    return {
        "language": language,
        "words": translations()[language],
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
