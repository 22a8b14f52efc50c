"""A frontend developer can generate a typed client from the OpenAPI document."""

import json
import subprocess
from pathlib import Path

import pytest

from config import Config
from vton.app import create_app

SETTINGS = {
    "SUPABASE_URL": "https://example.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
}
STRICT = {
    "compilerOptions": {
        "strict": True, "noUncheckedIndexedAccess": True, "exactOptionalPropertyTypes": True,
        "noEmit": True, "skipLibCheck": True, "module": "ESNext", "moduleResolution": "bundler",
        "target": "ES2022", "lib": ["ES2022", "DOM", "DOM.Iterable"], "types": [],
    },
    "include": ["out", "use.ts"],
}  # fmt: skip
ORVAL = """\
export default { api: { input: './openapi.json',
  output: { target: './out/api.ts', client: 'fetch' } } };
"""
HEY_API = """\
export default { input: './openapi.json',
  // Its own files are not clean under exactOptionalPropertyTypes, whatever the document says.
  output: { path: './out', header: ['// @ts-nocheck'] },
  plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'] };
"""
USE = {
    "openapi-typescript": """\
import type { components, operations } from './out/api';
type Answer = operations['getTryOnStatus']['responses'][200]['content']['application/json'];
type Refusal = operations['startTryOn']['responses'][429]['content']['application/json'];
type Form = components['schemas']['TryOnRequest'];
export const form: Form = { garmentId: '', userImage: '' };
""",
    "orval": """\
import { startTryOn, type Error as Refusal, type SessionStatusAnswer as Answer } from './out/api';
export const start = (photo: Blob) => startTryOn({ garmentId: '', userImage: photo });
""",
    "hey-api": """\
import { startTryOn, type Error as Refusal, type SessionStatusAnswer as Answer } from './out';
export const start = (photo: File) => startTryOn({ body: { garmentId: '', userImage: photo } });
""",
}
CHECKS = """
export const picture = (answer: Answer): string | null =>
  answer.data.status === 'success' ? answer.data.resultImageUrl : null;
export const again = (refusal: Refusal): boolean => refusal.code === 'busy' || refusal.retryable;
export const words = (answer: Answer | Refusal): string =>
  answer.success ? answer.data.status : answer.message;
export const blurred = (answer: Answer): boolean => answer.data.error?.code === 'photo_rejected';
// @ts-expect-error: there is no such status
export const wrong = (answer: Answer): boolean => answer.data.status === 'done';
// @ts-expect-error: a session does not fail with this
export const odd = (answer: Answer): boolean => answer.data.error?.code === 'token_expired';
"""
OPENAPI_TYPESCRIPT = ["openapi-typescript/bin/cli.js", "openapi.json", "-o", "out/api.d.ts"]
GENERATORS = {
    "openapi-typescript": ("openapi-typescript", OPENAPI_TYPESCRIPT, ""),
    "orval 7": ("orval", ["orval7/dist/bin/orval.js", "--config", "config.mjs"], ORVAL),
    "orval 8": ("orval", ["orval8/dist/bin/orval.mjs", "--config", "config.mjs"], ORVAL),
    "hey-api": ("hey-api", ["@hey-api/openapi-ts/bin/run.js", "-f", "config.mjs"], HEY_API),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_typescript_knows_every_answer(node_modules: Path, tmp_path: Path, name: str) -> None:
    use, (program, *arguments), config = GENERATORS[name]
    app = create_app(Config.from_env(SETTINGS))
    document = app.test_client().get("/openapi.json").get_json()
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "tsconfig.json").write_text(json.dumps(STRICT))
    (tmp_path / "config.mjs").write_text(config)
    (tmp_path / "use.ts").write_text(USE[use] + CHECKS)
    (tmp_path / "node_modules").symlink_to(node_modules)

    for command in (
        ["node", str(node_modules / program), *arguments],
        ["node", str(node_modules / "typescript/bin/tsc"), "-p", "."],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
