"""The specification's own `handleTryOn`, word for word, against the running stack."""

import hashlib
import json
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from actors import ROOT, Simulator, User
from complaints import Complaints
from frontends import served
from PIL import Image
from playwright.sync_api import BrowserContext

from devstack.stack import Stack

HERE = Path(__file__).parent
ORIGINAL = HERE / "specification" / "vtonService.js"
SHA256 = "097a197c63e033269e8b942f761b3aea1fbcf1efd4d26f23fd15b19967411d0a"
BACKEND = "import.meta.env.VITE_BACKEND_URL"
TOKEN_MODULE = "'@/lib/supabase'"
PHOTO = ROOT / "vton" / "demo" / "static" / "photos" / "amara.jpg"


def filled_in(backend_url: str, token_module: str) -> str:
    """The document's code with what it leaves to its reader, and nothing else."""
    code = ORIGINAL.read_text(encoding="utf-8")
    assert (code.count(BACKEND), code.count(TOKEN_MODULE)) == (2, 1)
    code = code.replace(BACKEND, json.dumps(backend_url))
    return code.replace(TOKEN_MODULE, json.dumps(token_module))


def token_module(token: str | None) -> str:
    """What the reader's own `supabase.js` exports."""
    return f"export async function getAuthToken() {{ return {json.dumps(token)}; }}"


def run_in_node(
    node: str, folder: Path, backend_url: str, token: str | None, photo: Path, garment_id: str
) -> dict[str, Any]:
    """Run it on a file, as a frontend's button does."""
    (folder / "supabase.mjs").write_text(token_module(token))
    (folder / "vtonService.mjs").write_text(filled_in(backend_url, "./supabase.mjs"))
    command = [node, str(HERE / "handle_try_on.mjs"), str(folder / "vtonService.mjs")]
    done = subprocess.run(
        [*command, str(photo), garment_id], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def assert_picture(url: str) -> None:
    """A URL opens as an image, for somebody who has nothing but the URL."""
    response = requests.get(url, timeout=10)
    assert response.headers["Content-Type"] == "image/png"
    with Image.open(BytesIO(response.content)) as picture:
        picture.load()
        assert picture.format == "PNG"


def test_our_copy_is_the_documents_code_word_for_word() -> None:
    digest = hashlib.sha256(ORIGINAL.read_bytes()).hexdigest()

    assert digest == SHA256


def test_it_gets_a_picture_in_node(
    stack: Stack, simulator: Simulator, user: User, garment_id: str, node: str, tmp_path: Path
) -> None:
    simulator.change(delay=3)

    told = run_in_node(node, tmp_path, stack.web_url, user.token, PHOTO, garment_id)

    assert told["error"] is None
    assert told["statuses"][0] == "queued"
    assert "processing" in told["statuses"]
    assert told["statuses"][-1] == "success"
    assert_picture(told["success"])


def test_it_says_why_a_file_is_refused(
    stack: Stack, user: User, garment_id: str, node: str, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("not a picture")

    told = run_in_node(node, tmp_path, stack.web_url, user.token, notes, garment_id)

    assert told["error"] == "The file is not a picture that can be used."
    assert told["success"] is None


def test_it_says_why_a_try_on_failed(
    stack: Stack, simulator: Simulator, user: User, garment_id: str, node: str, tmp_path: Path
) -> None:
    simulator.change(faults=[{"at": "submit", "kind": "error", "times": None}])

    told = run_in_node(node, tmp_path, stack.web_url, user.token, PHOTO, garment_id)

    assert told["statuses"][-1] == "failed"
    assert told["error"] == "The try-on did not work out."


def test_it_asks_to_sign_in(stack: Stack, garment_id: str, node: str, tmp_path: Path) -> None:
    told = run_in_node(node, tmp_path, stack.web_url, None, PHOTO, garment_id)

    assert told["error"] == "Anda harus login terlebih dahulu."


@pytest.mark.parametrize("client", ["the document's", "ours"])
def test_a_frontend_elsewhere_gets_a_picture(
    context: BrowserContext,
    complaints: Complaints,
    stack: Stack,
    user: User,
    garment_id: str,
    client: str,
) -> None:
    """In a real browser on another origin, where CORS has its say."""
    files = {
        "/": ("text/html", b"<!doctype html><link rel=icon href=data:><title>Shop</title>"),
        "/supabase.js": ("text/javascript", token_module(user.token).encode()),
        "/vtonService.js": ("text/javascript", filled_in(stack.web_url, "./supabase.js").encode()),
        "/photo.jpg": ("image/jpeg", PHOTO.read_bytes()),
    }
    with served(files) as frontend:
        page = context.new_page()
        complaints.listen(page)
        page.goto(frontend)
        code = DOCUMENTS_CLIENT if client == "the document's" else OUR_CLIENT
        arguments = {"baseUrl": stack.web_url, "garmentId": garment_id, "token": user.token}
        told = page.evaluate(code, arguments)

    assert told["statuses"][0] == "queued"
    assert told["statuses"][-1] == "success"
    assert_picture(told["url"])


TAKE_PHOTO = """
  const photo = new File([await (await fetch('/photo.jpg')).blob()], 'photo.jpg');
  const statuses = [];
"""
DOCUMENTS_CLIENT = f"""async ({{ garmentId }}) => {{
  {TAKE_PHOTO}
  const {{ handleTryOn }} = await import('/vtonService.js');
  return new Promise((resolve, reject) => handleTryOn(photo, garmentId, {{
    onStatusChange: (status) => statuses.push(status),
    onSuccess: (url) => resolve({{ statuses, url }}),
    onError: (message) => reject(new Error(message)),
  }}));
}}"""
OUR_CLIENT = f"""async ({{ baseUrl, garmentId, token }}) => {{
  {TAKE_PHOTO}
  const {{ createClient }} = await import(`${{baseUrl}}/static/vton-client.js`);
  const vton = createClient({{ baseUrl, getToken: () => token }});
  const onStatus = (status) => statuses.push(status);
  const result = await vton.tryOn(photo, garmentId, {{ onStatus }});
  const {{ items }} = await vton.listHistory();
  const garments = await vton.listGarments({{ limit: 2 }});
  if (items[0].sessionId !== result.sessionId) throw new Error('not in the history');
  if (garments.items.length !== 2 || !garments.nextCursor) throw new Error('no page of garments');
  return {{ statuses, url: result.resultImageUrl }};
}}"""
