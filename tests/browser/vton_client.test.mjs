/** The client the docs give away, against a server that misbehaves in every way it must bear. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';

const { VtonError, createClient, newIdempotencyKey } = await import(process.env.VTON_CLIENT);

const ID = '3f1c1a52-6f0e-4f9b-9f54-0d8f5d7f2f11';
const GOOD = { sessionId: ID, status: 'success', resultImageUrl: 'https://x.example/r.png' };
const REFUSED = {
  success: false, message: 'Some fields are wrong.', code: 'invalid_fields', hint: 'See errors.',
  retryable: false, request_id: 'abc', errors: { garmentId: ['Required.'] },
};

/** @type {((request: any, response: any) => void)[]} */
let answers = [];
/** @type {{method: string, url: string, headers: any, body: string}[]} */
let requests = [];
let baseUrl = '';

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const { method, url, headers } = request;
    requests.push({ method, url, headers, body: Buffer.concat(chunks).toString('latin1') });
    (answers.length > 1 ? answers.shift() : answers[0])(request, response);
  });
});

before(() => new Promise((resolve) => {
  server.listen(0, '127.0.0.1', () => {
    baseUrl = `http://127.0.0.1:${server.address().port}/`;
    resolve();
  });
}));
after(() => {
  server.close();
  server.closeAllConnections(); // some were never answered
});
beforeEach(() => {
  answers = [];
  requests = [];
});

const json = (status, body, headers = {}) => (_request, response) => {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};
const data = (body, meta) => json(200, { success: true, data: body, meta });
const cut = (request) => request.socket.destroy();
const waiting = (status) => data({ sessionId: ID, status, retryAfterSeconds: 0.01 });
const signedIn = () => createClient({ baseUrl, getToken: () => 'token' });
const caught = (promise) => promise.then(() => assert.fail('it did not throw'), (error) => error);

test('garments are public, and the query is encoded', async () => {
  answers = [data([{ id: 'a' }], { next_cursor: 'more' })];
  const page = await createClient({ baseUrl }).listGarments({ category: 'a & b', limit: 5 });
  assert.deepEqual(page, { items: [{ id: 'a' }], nextCursor: 'more' });
  assert.equal(requests[0].url, '/api/garments?category=a+%26+b&limit=5');
  assert.equal(requests[0].headers.authorization, undefined);
});

test('a start carries the photo, the garment, the token and a key of its own', async () => {
  answers = [json(202, { success: true, data: { sessionId: ID, status: 'queued' } })];
  const photo = new File(['pixels'], 'me.jpg', { type: 'image/jpeg' });
  await signedIn().startTryOn(photo, 'garment-1');
  await signedIn().startTryOn(photo, 'garment-1');
  const [one, two] = requests;
  assert.equal(one.headers.authorization, 'Bearer token');
  assert.match(one.body, /name="userImage"; filename="me.jpg"\r\nContent-Type: image\/jpeg/);
  assert.match(one.body, /name="garmentId"\r\n\r\ngarment-1/);
  assert.match(one.headers['idempotency-key'], /^[0-9a-f-]{36}$/);
  assert.notEqual(one.headers['idempotency-key'], two.headers['idempotency-key']);
});

test('a start is never repeated by itself', async () => {
  answers = [cut];
  const error = await caught(signedIn().startTryOn(new Blob(['x']), 'garment-1'));
  assert.equal(error.code, 'network');
  assert.equal(error.retryable, true);
  assert.equal(requests.length, 1);
});

test('a refusal is an error with everything the service said', async () => {
  answers = [json(422, REFUSED)];
  const error = await caught(signedIn().startTryOn(new Blob(['x']), ''));
  assert.ok(error instanceof VtonError);
  const { message, code, hint, retryable, status, requestId, errors } = error;
  assert.deepEqual({ success: false, message, code, hint, retryable, request_id: requestId, errors },
    REFUSED);
  assert.equal(status, 422);
});

test('what is not the service is said in words, too', async () => {
  answers = [(_request, response) => response.writeHead(502).end('<h1>Bad gateway</h1>')];
  const error = await caught(createClient({ baseUrl }).listGarments());
  assert.equal(error.code, 'bad_answer');
  assert.equal(error.retryable, true);
});

test('waiting goes on through cuts, busy and broken answers, and tells each status once', async () => {
  const busy = { success: false, message: 'Busy.', code: 'unavailable', hint: '', retryable: true };
  answers = [
    waiting('queued'), cut, waiting('queued'), waiting('processing'),
    json(503, busy, { 'Retry-After': '1' }), json(429, { ...busy, retryable: false }),
    waiting('processing'), data(GOOD),
  ];
  const seen = [];
  const begun = Date.now();
  const result = await signedIn().waitForResult(ID, { onStatus: (status) => seen.push(status) });
  assert.deepEqual(result, GOOD);
  assert.deepEqual(seen, ['queued', 'processing', 'success']);
  assert.ok(Date.now() - begun >= 1900, 'waited as long as it was told to');
});

test('a failed try-on throws its own code and hint', async () => {
  const error = { code: 'provider_failed', hint: 'Try again.', retryable: true };
  answers = [data({ sessionId: ID, status: 'failed', error_message: 'No luck.', error })];
  const thrown = await caught(signedIn().waitForResult(ID));
  assert.equal(thrown.message, 'No luck.');
  assert.equal(thrown.sessionId, ID);
  assert.deepEqual(
    { code: thrown.code, hint: thrown.hint, retryable: thrown.retryable }, error);
  assert.equal(requests.length, 1);
});

test('waiting for a session that is gone ends at once', async () => {
  answers = [json(404, { ...REFUSED, code: 'session_not_found' })];
  assert.equal((await caught(signedIn().waitForResult(ID))).code, 'session_not_found');
});

test('a signal stops the waiting with its own reason', async () => {
  answers = [data({ sessionId: ID, status: 'queued', retryAfterSeconds: 60 })];
  const stop = new AbortController();
  const reason = new Error('the user left');
  setTimeout(() => stop.abort(reason), 100);
  assert.equal(await caught(signedIn().waitForResult(ID, { signal: stop.signal })), reason);
  assert.equal(await caught(signedIn().getStatus(ID, { signal: stop.signal })), reason);
});

test('an expired token is renewed once, and the call repeated', async () => {
  answers = [json(401, { ...REFUSED, code: 'token_expired' }), data(GOOD)];
  const vton = createClient({ baseUrl, getToken: async ({ renew }) => (renew ? 'new' : 'old') });
  assert.deepEqual(await vton.getStatus(ID), GOOD);
  assert.deepEqual(requests.map(({ headers }) => headers.authorization),
    ['Bearer old', 'Bearer new']);
});

test('what one user asked is not asked again with the token of the next', async () => {
  const token = (sub, n) => `x.${btoa(JSON.stringify({ sub, n, a: '??>>' })).replaceAll('+', '-')}.x`;
  const call = (next) => createClient({
    baseUrl, getToken: async ({ renew }) => (renew ? token(next, 2) : token('alice', 1)),
  }).getStatus(ID);
  answers = [json(401, { ...REFUSED, code: 'token_expired' }), data(GOOD)];
  assert.equal((await caught(call('bob'))).code, 'token_expired');
  assert.equal(requests.length, 1);
  answers = [json(401, { ...REFUSED, code: 'token_expired' }), data(GOOD)];
  assert.deepEqual(await call('alice'), GOOD);
});

test('tryOn does it all, and tells queued once', async () => {
  answers = [
    json(202, { success: true, data: { sessionId: ID, status: 'queued' } }),
    waiting('queued'), waiting('processing'), data(GOOD),
  ];
  const seen = [];
  const onStatus = (status, { sessionId }) => seen.push([status, sessionId]);
  assert.deepEqual(await signedIn().tryOn(new Blob(['x']), 'g', { onStatus }), GOOD);
  assert.deepEqual(seen, [['queued', ID], ['processing', ID], ['success', ID]]);
});

test('history is a page, delete answers nothing', async () => {
  answers = [data([GOOD], { next_cursor: null }), data({ sessionId: ID })];
  assert.deepEqual(await signedIn().listHistory({ limit: 1, cursor: 'c' }),
    { items: [GOOD], nextCursor: null });
  assert.equal(await signedIn().deleteSession(ID), undefined);
  assert.deepEqual(requests.map(({ method, url }) => `${method} ${url}`),
    ['GET /api/try-on/history?limit=1&cursor=c', `DELETE /api/try-on/${ID}`]);
});

test('a key is a UUID without randomUUID, too', () => {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  assert.match(newIdempotencyKey(), uuid);
  const { randomUUID } = crypto;
  Object.defineProperty(crypto, 'randomUUID', { value: undefined, configurable: true });
  try {
    assert.match(newIdempotencyKey(), uuid);
  } finally {
    Object.defineProperty(crypto, 'randomUUID', { value: randomUUID, configurable: true });
  }
});

const started = json(202, { success: true, data: { sessionId: ID, status: 'queued' } });
const posts = () => requests.filter(({ method }) => method === 'POST');
const keys = () => posts().map(({ headers }) => headers['idempotency-key']);
const later = (answer) => (request, response) => setTimeout(() => answer(request, response), 50);

test('a double click is one try-on, for which both wait', async () => {
  answers = [later(started), waiting('processing'), waiting('processing'), data(GOOD)];
  const vton = signedIn();
  const photo = new File(['x'], 'me.jpg', { lastModified: 1 });
  const chosenAgain = new File(['x'], 'me.jpg', { lastModified: 1 });
  const both = [vton.tryOn(photo, 'g'), vton.tryOn(photo, 'g'), vton.tryOn(chosenAgain, 'g')];
  assert.deepEqual(await Promise.all(both), [GOOD, GOOD, GOOD]);
  assert.equal(posts().length, 1);
});

const tokenOf = (user) => `x.${btoa(JSON.stringify({ sub: user }))}.x`;
const byMethod = (answers) => (request, response) => answers[request.method](request, response);

test('another photo, garment or user is another try-on', async () => {
  let user = 'alice';
  answers = [byMethod({ POST: started, GET: data(GOOD) })];
  const vton = createClient({ baseUrl, getToken: () => tokenOf(user) });
  const photo = new Blob(['x']);
  await Promise.all([
    vton.tryOn(photo, 'g'), vton.tryOn(photo, 'h'), vton.tryOn(new Blob(['x']), 'g'),
  ]);
  user = 'bob';
  await vton.tryOn(photo, 'g');
  assert.equal(new Set(keys()).size, 4);
});

test('nothing of one user is sent, asked or deleted as another', async () => {
  let user = 'alice';
  answers = [byMethod({ POST: started, GET: waiting('processing') })];
  const vton = createClient({ baseUrl, getToken: () => tokenOf(user) });
  const unsent = caught(vton.tryOn(new Blob(['x']), 'g'));
  user = 'bob';
  assert.equal((await unsent).code, 'token_invalid');
  assert.equal(posts().length, 0);

  user = 'alice';
  const photo = new Blob(['y']);
  const run = vton.tryOn(photo, 'g', { onUpdate: () => (user = 'bob') });
  assert.equal((await caught(run)).code, 'token_invalid');
  assert.equal((await caught(run.cancel())).code, 'token_invalid');
  assert.deepEqual(requests.filter(({ method }) => method === 'DELETE'), []);
  assert.ok(requests.every(({ headers }) => headers.authorization.includes(tokenOf('alice'))));
  user = 'alice';
  answers = [data(GOOD)];
  await vton.tryOn(photo, 'g');
  assert.equal(posts().length, 1, 'found again, and not paid twice');
});

test('what another than the service answers ends nothing', async () => {
  const page = (status) => (_request, response) => response.writeHead(status).end('<h1>Moved');
  answers = [page(200), page(404), started, page(404), page(200), data(GOOD)];
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  for (const status of [200, 404]) assert.equal((await caught(vton.tryOn(photo, 'g'))).status, status);
  assert.deepEqual(await vton.tryOn(photo, 'g'), GOOD);
  assert.equal(new Set(keys()).size, 1);
});

test('a token that cannot be had for a moment ends nothing', async () => {
  answers = [waiting('processing'), data(GOOD)];
  const tokens = [() => 't', () => { throw new TypeError('Failed to fetch'); }, () => 't'];
  const vton = createClient({ baseUrl, getToken: () => tokens.shift()() });
  assert.deepEqual(await vton.waitForResult(ID), GOOD);
});

test('a service that asks for no patience is not asked without a pause', async () => {
  const busy = { ...REFUSED, code: 'busy', retryable: true };
  answers = [json(503, busy, { 'Retry-After': '0' })];
  await caught(signedIn().waitForResult(ID, { timeout: 300 }));
  assert.equal(requests.length, 1);
});

test('the time is up also while something hangs', async () => {
  const hang = () => {};
  answers = [hang];
  const begunAt = Date.now();
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  assert.equal((await caught(vton.tryOn(photo, 'g', { timeout: 50 }))).code, 'timeout');
  assert.equal((await caught(vton.resume(ID, { timeout: 50 }))).sessionId, ID);
  assert.equal((await caught(vton.waitForResult(ID, { timeout: 50 }))).code, 'timeout');
  assert.ok(Date.now() - begunAt < 5_000);
});

test('a cancelled start whose answer was lost is looked for and deleted', async () => {
  const other = { id: 'other', sessionId: 'other', garment_id: 'h', created_at: new Date() };
  const mine = { id: ID, sessionId: ID, garment_id: 'g', created_at: new Date() };
  answers = [cut, data([other, mine], { next_cursor: null }), data({ sessionId: ID })];
  const run = signedIn().tryOn(new Blob(['x']), 'g');
  assert.equal((await caught(run)).code, 'network');
  await run.cancel();
  assert.deepEqual(requests.slice(1).map(({ method, url }) => `${method} ${url}`), [
    'GET /api/try-on/history?status=unfinished&limit=100', `DELETE /api/try-on/${ID}`,
  ]);
});

test('a cancel that fails is told, and what goes on is found again', async () => {
  const away = json(503, { ...REFUSED, code: 'unavailable', retryable: true });
  answers = [byMethod({ POST: started, GET: waiting('queued'), DELETE: away })];
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  const run = vton.tryOn(photo, 'g');
  while (!run.sessionId) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal((await caught(run.cancel())).code, 'unavailable');
  answers = [data(GOOD)];
  assert.deepEqual(await vton.tryOn(photo, 'g'), GOOD);
  assert.equal(posts().length, 1);
});

test('what was cancelled or deleted is another try-on at once, and leaves others alone', async () => {
  answers = [byMethod({ POST: later(started), GET: waiting('queued'), DELETE: data({}) })];
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  const first = vton.tryOn(photo, 'g');
  const ended = caught(first);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const cancelled = first.cancel();
  const stop = new AbortController();
  const { signal } = stop;
  const second = caught(vton.tryOn(photo, 'g', { signal }));
  await cancelled;
  assert.equal((await ended).code, 'cancelled');
  await first.cancel();
  const third = vton.tryOn(photo, 'g', { signal });
  while (!third.sessionId) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(posts().length, 2, 'the third joined the second');
  await vton.deleteSession(ID);
  stop.abort();
  await Promise.all([second, caught(third)]);
  answers = [byMethod({ POST: started, GET: data(GOOD) })];
  assert.deepEqual(await vton.tryOn(photo, 'g'), GOOD);
  assert.equal(posts().length, 3);
});

test('what has ended is another try-on when it is asked for again', async () => {
  const failed = { sessionId: ID, status: 'failed', error_message: 'No.', error: { retryable: true } };
  answers = [started, data(GOOD), started, data(failed), started, data(GOOD)];
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  await vton.tryOn(photo, 'g');
  await caught(vton.tryOn(photo, 'g'));
  await vton.tryOn(photo, 'g');
  assert.equal(new Set(keys()).size, 3);
});

test('a start whose answer was lost is repeated under its key, a refused one is not', async () => {
  const busy = json(503, { ...REFUSED, code: 'busy', retryable: true });
  answers = [cut, busy, json(422, REFUSED), started, data(GOOD)];
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  for (const code of ['network', 'busy', 'invalid_fields']) {
    assert.equal((await caught(vton.tryOn(photo, 'g'))).code, code);
  }
  assert.deepEqual(await vton.tryOn(photo, 'g'), GOOD);
  const [lost, again, refused, anew] = keys();
  assert.deepEqual([lost === again, again === refused, refused === anew], [true, true, false]);
});

test('a lost poll after a long sleep is borne', async () => {
  const { now } = Date;
  const asleep = (request) => {
    const woken = now() + 600_000;
    Date.now = () => woken + (now() % 1000);
    cut(request);
  };
  answers = [waiting('processing'), asleep, data(GOOD)];
  try {
    assert.deepEqual(await signedIn().waitForResult(ID), GOOD);
  } finally {
    Date.now = now;
  }
});

test('after minutes of failures it is given up, and asked for again without a second payment', async () => {
  const { now } = Date;
  let ahead = 0;
  const away = (request) => {
    ahead += 100_000;
    cut(request);
  };
  Date.now = () => now() + ahead;
  answers = [started, away, away, away, data(GOOD)];
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  try {
    const error = await caught(vton.tryOn(photo, 'g'));
    assert.deepEqual([error.code, error.retryable, error.sessionId], ['network', true, ID]);
  } finally {
    Date.now = now;
  }
  assert.deepEqual(await vton.tryOn(photo, 'g'), GOOD);
  assert.equal(posts().length, 1);
});

test('errors after the acceptance name the session', async () => {
  answers = [started, json(404, { ...REFUSED, code: 'session_not_found' })];
  assert.equal((await caught(signedIn().tryOn(new Blob(['x']), 'g'))).sessionId, ID);
});

test('every answer is told, and the time that is left', async () => {
  const left = (etaSeconds) => data(
    { sessionId: ID, status: 'processing', retryAfterSeconds: 0.01, etaSeconds });
  answers = [started, left(2), left(1), data(GOOD)];
  const seen = [];
  await signedIn().tryOn(new Blob(['x']), 'g', { onUpdate: (look) => seen.push(look.etaSeconds) });
  assert.deepEqual(seen, [2, 1, undefined]);
});

test('a wait has an end, if that is wanted, and the try-on goes on', async () => {
  answers = [started, waiting('processing')];
  const [vton, photo] = [signedIn(), new Blob(['x'])];
  const error = await caught(vton.tryOn(photo, 'g', { timeout: 100 }));
  assert.deepEqual([error.code, error.sessionId, error.retryable], ['timeout', ID, true]);
  answers = [data(GOOD)];
  assert.deepEqual(await vton.tryOn(photo, 'g'), GOOD);
  assert.equal(posts().length, 1);
});

test('cancel stops the waiting and deletes, in whatever state', async () => {
  for (const ready of [0, 30, 120]) {
    requests = [];
    answers = [later(started), (request, response) =>
      (request.method === 'DELETE' ? data({ sessionId: ID }) : waiting('queued'))(request, response)];
    const run = signedIn().tryOn(new Blob([String(ready)]), 'g');
    const ended = caught(run);
    await new Promise((resolve) => setTimeout(resolve, ready));
    await run.cancel();
    assert.equal((await ended).code, 'cancelled');
    const deleted = requests.filter(({ method }) => method === 'DELETE').length;
    assert.equal(deleted, posts().length, `after ${ready} ms`);
  }
});

test('cancelling what is gone is no error, and nobody has to listen to it', async () => {
  answers = [json(404, { ...REFUSED, code: 'session_not_found' })];
  await signedIn().resume(ID).cancel();
});

test('what was left is found and taken up', async () => {
  answers = [data([{ sessionId: ID, status: 'processing' }], { next_cursor: null }), data(GOOD)];
  const vton = signedIn();
  const [left] = await vton.unfinished();
  const run = vton.resume(left.sessionId);
  assert.equal(run.sessionId, ID);
  assert.deepEqual(await run, GOOD);
  assert.equal(requests[0].url, '/api/try-on/history?status=unfinished&limit=100');
});

test('the photo of another try-on is named, not sent', async () => {
  answers = [started];
  await signedIn().startTryOn({ photoOf: ID }, 'g');
  assert.match(requests[0].body, new RegExp(`name="photoOf"\r\n\r\n${ID}`));
  assert.doesNotMatch(requests[0].body, /userImage/);
});

test('a photo that is too large is not sent', async () => {
  const error = await caught(signedIn().startTryOn(new Blob([new Uint8Array(10_485_761)]), 'g'));
  assert.equal(error.code, 'photo_too_large');
  assert.equal(requests.length, 0);
});

test('a success whose picture has no address yet is waited for', async () => {
  answers = [data({ ...GOOD, resultImageUrl: null }), data(GOOD)];
  assert.deepEqual(await signedIn().waitForResult(ID), GOOD);
});

test('the language is asked for, and the own words are in it', async () => {
  answers = [cut];
  const error = await caught(createClient({ baseUrl, language: 'id-ID' }).listGarments());
  assert.equal(requests[0].headers['accept-language'], 'id-ID');
  assert.equal(error.message, 'Layanan tidak dapat dihubungi.');
  const words = { 'The service could not be reached.': 'Nicht da.' };
  const other = createClient({ baseUrl, language: 'de', words });
  assert.equal((await caught(other.listGarments())).message, 'Nicht da.');
});

test('the function of the specification tells its three callbacks', async () => {
  const told = [];
  const callbacks = {
    onStatusChange: (status) => told.push(status),
    onSuccess: (url) => told.push(url),
    onError: (message) => told.push(message),
  };
  answers = [started, waiting('queued'), waiting('processing'), data(GOOD)];
  await signedIn().handleTryOn(new Blob(['x']), 'g', callbacks);
  assert.deepEqual(told, ['queued', 'queued', 'processing', 'success', GOOD.resultImageUrl]);
  answers = [json(422, REFUSED)];
  told.length = 0;
  await signedIn().handleTryOn(new Blob(['x']), 'g', callbacks);
  assert.deepEqual(told, ['Some fields are wrong. See errors.']);
});
