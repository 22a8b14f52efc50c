"""A frontend developer can generate a typed client from the OpenAPI document."""

import json
import subprocess
from pathlib import Path

import pytest

from config import Config
from vton.app import create_app

pytestmark = pytest.mark.thorough

SETTINGS = {
    "SUPABASE_URL": "https://example.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
}
USE = """\
import type { components, operations } from './api';

type Answer = operations['getTryOnStatus']['responses'][200]['content']['application/json'];
type Refusal = operations['startTryOn']['responses'][429]['content']['application/json'];

export const picture = (answer: Answer): string | null =>
  answer.data.status === 'success' ? answer.data.resultImageUrl : null;
export const again = (refusal: Refusal): boolean => refusal.retryable;
export const form: components['schemas']['TryOnRequest'] = { garmentId: '', userImage: '' };
// @ts-expect-error: there is no such status
export const wrong = (answer: Answer): boolean => answer.data.status === 'done';
"""


def test_typescript_knows_every_answer(node_modules: Path, tmp_path: Path) -> None:
    app = create_app(Config.from_env(SETTINGS))
    document = app.test_client().get("/openapi.json").get_json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "use.ts").write_text(USE)

    for tool, *arguments in (
        ("openapi-typescript", "openapi.json", "-o", "api.d.ts"),
        ("tsc", "--noEmit", "--strict", "use.ts"),
    ):
        command = [str(node_modules / ".bin" / tool), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
