"""A frontend developer can generate a typed client from the OpenAPI document."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from config import Config
from vton.app import create_app

SETTINGS = {
    "SUPABASE_URL": "https://example.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PIXAZO_API_KEY": "k",
}
ROOT = Path(__file__).parents[3]
STRICT: dict[str, Any] = {
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
USE_CLIENT = """\
import { createClient, prepare, VtonError } from 'vton-client';
import type * as Client from 'vton-client';
import type { components } from './out/api';

type Api = components['schemas'];
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type Fits<A, B> = [A] extends [B] ? true : false;
export const codes: Same<Client.RequestErrorCode, Api['Error']['code']> = true;
export const failures: Same<Client.FailureCode, Api['SessionError']['code']> = true;
export const garments: Same<Client.Garment, Api['GarmentItem']> = true;
export const history: Same<Client.HistoryItem, Api['HistoryItem']> = true;
export const started: Same<Client.Started, Api['Accepted']> = true;
export const status: Fits<Client.SessionStatus, Api['SessionStatus']> = true;
export const statusFields: Same<keyof Client.Success, keyof Api['SessionStatus']> = true;
export const statuses: Same<Client.SessionStatus['status'], Api['SessionStatus']['status']> = true;
type Errors = NonNullable<Client.VtonError['errors']>;
export const errors: Same<NonNullable<Api['Error']['errors']>, Errors> = true;

const vton = createClient({ baseUrl: 'https://shop.example', getToken: async () => null });
export async function show(photo: File, onUpdate?: (look: Client.SessionStatus) => void) {
  const run = vton.tryOn(await prepare(photo), 'garment', { onUpdate, timeout: 60_000 });
  const { resultImageUrl } = await run;
  const url: string = resultImageUrl;
  const look = await vton.getStatus(run.sessionId ?? '');
  if (look.status === 'success') return look.resultImageUrl.length + url.length;
  // @ts-expect-error: without success there is no picture
  return look.resultImageUrl.length;
}
export function explain(error: unknown): string {
  if (!(error instanceof VtonError)) return '';
  // @ts-expect-error: there is no such code
  if (error.code === 'no_such_code') return '';
  return error.code === 'photo_rejected' ? error.hint : error.message;
}
"""
OPENAPI_TYPESCRIPT = ["openapi-typescript/bin/cli.js", "openapi.json", "-o", "out/api.d.ts"]
GENERATORS = {
    "openapi-typescript": ("openapi-typescript", OPENAPI_TYPESCRIPT, ""),
    "orval 7": ("orval", ["orval7/dist/bin/orval.js", "--config", "config.mjs"], ORVAL),
    "orval 8": ("orval", ["orval8/dist/bin/orval.mjs", "--config", "config.mjs"], ORVAL),
    "hey-api": ("hey-api", ["@hey-api/openapi-ts/bin/run.js", "-f", "config.mjs"], HEY_API),
}


def run(command: list[str], folder: Path) -> str:
    """Run a command that has to succeed, and return what it says."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_document(folder: Path) -> None:
    """Write what generators read."""
    document = create_app(Config.from_env(SETTINGS)).test_client().get("/openapi.json").get_json()
    (folder / "openapi.json").write_text(json.dumps(document))


@pytest.mark.parametrize("allow_js", [False, True])
def test_the_clients_types_are_the_documents(
    node_modules: Path, tmp_path: Path, allow_js: bool
) -> None:
    """They are clean under strict, as the package that is published has them."""
    write_document(tmp_path)
    package = run(["npm", "pack", "--silent", str(ROOT / "clients" / "js")], tmp_path).strip()
    installed = tmp_path / "node_modules" / "vton-client"
    installed.mkdir(parents=True)
    run(["tar", "xf", package, "-C", str(installed), "--strip-components=1"], tmp_path)
    (tmp_path / "use.ts").write_text(USE_CLIENT)
    options = {**STRICT["compilerOptions"], "allowJs": allow_js, "skipLibCheck": False}
    (tmp_path / "tsconfig.json").write_text(json.dumps({**STRICT, "compilerOptions": options}))

    run(["node", str(node_modules / OPENAPI_TYPESCRIPT[0]), *OPENAPI_TYPESCRIPT[1:]], tmp_path)
    run(["node", str(node_modules / "typescript/bin/tsc"), "-p", "."], tmp_path)

    assert sorted(file.name for file in installed.iterdir()) == [
        "README.md", "package.json", "vton-client.d.ts", "vton-client.js",
    ]  # fmt: skip


def test_the_client_and_the_page_are_what_their_types_say(
    node_modules: Path, tmp_path: Path
) -> None:
    page = (ROOT / "vton" / "demo" / "static").glob("*.js")
    for file in (*page, *(ROOT / "clients" / "js").glob("vton-client.*")):
        shutil.copy(file, tmp_path)
    options = {**STRICT["compilerOptions"], "allowJs": True, "checkJs": True}
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "include": ["*.js"]})
    )

    run(["node", str(node_modules / "typescript/bin/tsc"), "-p", "."], tmp_path)


@pytest.mark.parametrize("name", GENERATORS)
def test_typescript_knows_every_answer(node_modules: Path, tmp_path: Path, name: str) -> None:
    use, (program, *arguments), config = GENERATORS[name]
    write_document(tmp_path)
    (tmp_path / "tsconfig.json").write_text(json.dumps(STRICT))
    (tmp_path / "config.mjs").write_text(config)
    (tmp_path / "use.ts").write_text(USE[use] + CHECKS)
    (tmp_path / "node_modules").symlink_to(node_modules)

    run(["node", str(node_modules / program), *arguments], tmp_path)
    run(["node", str(node_modules / "typescript/bin/tsc"), "-p", "."], tmp_path)
