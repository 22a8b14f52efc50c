// @ts-check
/**
 * A client of the virtual try-on service: one file, no dependencies, for browsers and Node 20.
 * It is one file of more than 300 lines so that a frontend can copy it.
 *
 *     import { createClient } from './vton-client.js';
 *
 *     const vton = createClient({ baseUrl: 'https://…', getToken: () => accessToken });
 *     const { items } = await vton.listGarments({ category: 'shirts' });
 *     const result = await vton.tryOn(photo, items[0].id, { onStatus: console.log });
 *     image.src = result.resultImageUrl;
 *
 * Everything that fails throws a `VtonError`; a call that is stopped through its `signal`
 * throws that signal's reason instead.
 */

/** How long one answer may take, in milliseconds; an upload may take longer. */
const ANSWER_MS = 20_000;
const UPLOAD_MS = 120_000;
/** Wait so long between two polls where the server does not say. */
const POLL_SECONDS = 2;
/** While the service cannot be reached, wait longer each time, but never longer than this. */
const MAX_WAIT_SECONDS = 15;
/** Give up polling when nothing but failures came for so long. The try-on itself goes on. */
const PATIENCE_MS = 180_000;

/**
 * @typedef {'queued' | 'processing' | 'success' | 'failed'} Status
 *
 * @typedef {object} Garment
 * @property {string} id
 * @property {string} name
 * @property {string | null} brand
 * @property {string | null} category
 * @property {string | null} imageUrl opens the picture; expires, so do not store it
 * @property {string | null} image_url the same
 * @property {string | null} thumbnailUrl opens a small one, of 384 pixels
 * @property {string} created_at
 *
 * @typedef {object} Started
 * @property {string} sessionId
 * @property {'queued'} status
 * @property {{status: string, delete: string}} urls
 *
 * @typedef {object} Failure why a try-on failed, for a program and for its user
 * @property {string} code
 * @property {string} hint
 * @property {boolean} retryable
 *
 * @typedef {object} SessionStatus
 * @property {string} sessionId
 * @property {Status} status
 * @property {string | null} resultImageUrl opens the picture; expires, so do not store it
 * @property {string | null} result_image_url the same
 * @property {string | null} thumbnailUrl opens a small one, of 384 pixels; null where there is none
 * @property {string | null} resultExpiresAt
 * @property {string | null} error_message
 * @property {Failure | null} error
 * @property {number | null} retryAfterSeconds
 *
 * @typedef {object} HistoryItem an ended try-on
 * @property {string} sessionId
 * @property {Status} status `success` or `failed`
 * @property {string | null} garment_id
 * @property {string | null} original_user_image_url opens the photo; expires
 * @property {string | null} resultImageUrl opens the picture; expires
 * @property {string | null} thumbnailUrl opens a small one, of 384 pixels; null where there is none
 * @property {string | null} error_message
 * @property {Failure | null} error
 * @property {boolean} aiGenerated
 * @property {string} created_at
 * @property {{id: string, name: string, brand: string | null, category: string | null,
 *   image_url: string | null} | null} garment null when the shop no longer has it
 */

/**
 * @template T
 * @typedef {{items: T[], nextCursor: string | null}} Page pass `nextCursor` as `cursor` to go on
 */

/**
 * @callback OnStatus called when a status is seen for the first time
 * @param {Status} status
 * @param {SessionStatus | Started} session
 * @returns {void}
 */

/** What went wrong, in words for people (`message`, `hint`) and for programs (`code`). */
export class VtonError extends Error {
  /**
   * @param {string} message what happened
   * @param {object} [details]
   * @param {string} [details.code] the service's code; `network`, `timeout` or `bad_answer` here
   * @param {string} [details.hint] what to do about it
   * @param {boolean} [details.retryable] whether the same call can succeed later
   * @param {number} [details.status] the HTTP status; 0 without an answer
   * @param {string | null} [details.requestId] quote it when you ask the operator
   * @param {Record<string, string[]> | null} [details.errors] the wrong fields, and why
   * @param {number | null} [details.retryAfterSeconds] not before
   * @param {string | null} [details.sessionId] the try-on that failed
   * @param {unknown} [details.cause]
   */
  constructor(message, details = {}) {
    super(message, { cause: details.cause });
    this.name = 'VtonError';
    this.code = details.code ?? 'internal';
    this.hint = details.hint ?? '';
    this.retryable = details.retryable ?? false;
    this.status = details.status ?? 0;
    this.requestId = details.requestId ?? null;
    this.errors = details.errors ?? null;
    this.retryAfterSeconds = details.retryAfterSeconds ?? null;
    this.sessionId = details.sessionId ?? null;
  }
}

/**
 * Make a client.
 *
 * @param {object} [options]
 * @param {string} [options.baseUrl] where the service is; by default where the page is
 * @param {(why: {renew: boolean}) => string | null | undefined
 *   | Promise<string | null | undefined>} [options.getToken] the user's access token; called for
 *   each request, and with `renew` once more when the service says that a token has expired
 */
export function createClient({ baseUrl = '', getToken = () => null } = {}) {
  const root = baseUrl.replace(/\/+$/, '');

  /**
   * @param {string} path
   * @param {object} [options]
   * @param {string} [options.method]
   * @param {boolean} [options.signedIn] whether the call is a user's
   * @param {Record<string, string>} [options.headers]
   * @param {FormData} [options.body]
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<any>} the whole envelope of a success
   */
  async function call(path, options = {}) {
    const { method = 'GET', signedIn = true, headers = {}, body, signal } = options;
    const url = root + path;
    const timeout = body ? UPLOAD_MS : ANSWER_MS;
    /** @param {string | null | undefined} token */
    const send = (token) => {
      const bearer = token ? { Authorization: `Bearer ${token}` } : undefined;
      return exchange(url, { method, headers: { ...headers, ...bearer }, body }, timeout, signal);
    };
    const token = signedIn ? await getToken({ renew: false }) : null;
    try {
      return await send(token);
    } catch (error) {
      if (!signedIn || !(error instanceof VtonError) || error.status !== 401) throw error;
      const renewed = await getToken({ renew: true });
      if (!renewed || renewed === token || subject(renewed) !== subject(token)) throw error;
      return send(renewed);
    }
  }

  /**
   * List what can be tried on, newest first: all of it unless `limit` is given.
   *
   * @param {{category?: string, limit?: number, cursor?: string | null, signal?: AbortSignal}}
   *   [query]
   * @returns {Promise<Page<Garment>>}
   */
  async function listGarments({ category, limit, cursor, signal } = {}) {
    const path = '/api/garments' + queryString({ category, limit, cursor });
    return asPage(await call(path, { signedIn: false, signal }));
  }

  /**
   * Upload a photo and start a try-on. Returns as soon as it is queued.
   *
   * @param {Blob} photo a File from `<input type="file">`, or any Blob
   * @param {string} garmentId
   * @param {object} [options]
   * @param {string} [options.idempotencyKey] one key for each try-on that is wanted: give the
   *   same one again when you repeat a start whose answer never came
   * @param {AbortSignal} [options.signal]
   * @returns {Promise<Started>}
   */
  async function startTryOn(photo, garmentId, options = {}) {
    const { idempotencyKey = newIdempotencyKey(), signal } = options;
    const body = new FormData();
    body.append('userImage', photo, /** @type {File} */ (photo).name || 'photo');
    body.append('garmentId', garmentId);
    const headers = { 'Idempotency-Key': idempotencyKey };
    return (await call('/api/try-on', { method: 'POST', headers, body, signal })).data;
  }

  /**
   * Ask once how a try-on is getting on. A failed one is an answer, too, not an exception.
   *
   * @param {string} sessionId
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<SessionStatus>}
   */
  async function getStatus(sessionId, { signal } = {}) {
    return (await call(`/api/try-on/${encodeURIComponent(sessionId)}/status`, { signal })).data;
  }

  /**
   * Poll a try-on until it has ended, through short interruptions of network and service.
   *
   * @param {string} sessionId
   * @param {{onStatus?: OnStatus, signal?: AbortSignal}} [options]
   * @returns {Promise<SessionStatus>} a success; a failed try-on throws
   */
  async function waitForResult(sessionId, { onStatus, signal } = {}) {
    /** @type {Status | undefined} */
    let seen;
    let failures = 0;
    let lastAnswer = Date.now();
    for (;;) {
      let wait = POLL_SECONDS;
      try {
        const session = await getStatus(sessionId, { signal });
        if (session.status !== seen) onStatus?.((seen = session.status), session);
        if (session.status === 'success') return session;
        if (session.status === 'failed') throw failedSession(session);
        [failures, lastAnswer] = [0, Date.now()];
        wait = session.retryAfterSeconds ?? POLL_SECONDS;
      } catch (error) {
        if (!isInterruption(error)) throw error;
        wait = error.retryAfterSeconds ?? Math.min(2 ** failures, MAX_WAIT_SECONDS);
        if (Date.now() + wait * 1000 - lastAnswer > PATIENCE_MS) throw error;
        failures += 1;
      }
      await sleep(wait * 1000, signal);
    }
  }

  /**
   * Start a try-on and wait for its picture.
   *
   * @param {Blob} photo
   * @param {string} garmentId
   * @param {{onStatus?: OnStatus, idempotencyKey?: string, signal?: AbortSignal}} [options]
   *   stopping through `signal` stops the waiting; `deleteSession` stops the try-on itself
   * @returns {Promise<SessionStatus>}
   */
  async function tryOn(photo, garmentId, { onStatus, idempotencyKey, signal } = {}) {
    const started = await startTryOn(photo, garmentId, { idempotencyKey, signal });
    onStatus?.('queued', started);
    /** @type {OnStatus} */
    const later = (status, session) => status !== 'queued' && onStatus?.(status, session);
    return waitForResult(started.sessionId, { onStatus: later, signal });
  }

  /**
   * List the user's ended try-ons, newest first.
   *
   * @param {{limit?: number, cursor?: string | null, signal?: AbortSignal}} [query]
   * @returns {Promise<Page<HistoryItem>>}
   */
  async function listHistory({ limit, cursor, signal } = {}) {
    return asPage(await call('/api/try-on/history' + queryString({ limit, cursor }), { signal }));
  }

  /**
   * Delete a try-on in any state, its photo and its picture. A running one is stopped.
   *
   * @param {string} sessionId
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<void>}
   */
  async function deleteSession(sessionId, { signal } = {}) {
    await call(`/api/try-on/${encodeURIComponent(sessionId)}`, { method: 'DELETE', signal });
  }

  return {
    listGarments,
    startTryOn,
    getStatus,
    waitForResult,
    tryOn,
    listHistory,
    deleteSession,
  };
}

/** @typedef {ReturnType<typeof createClient>} Client */

/**
 * Return a key that no other try-on has.
 *
 * @returns {string} a UUID (version 4)
 */
export function newIdempotencyKey() {
  const browser = /** @type {Partial<Crypto>} */ (crypto);
  if (browser.randomUUID) return browser.randomUUID();
  // Pages that are neither https nor on localhost have getRandomValues only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * Send one request and read its whole answer, within `timeout` milliseconds.
 *
 * @param {string} url
 * @param {RequestInit} init
 * @param {number} timeout
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function exchange(url, init, timeout, signal) {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const stopped = () => stop.abort(signal?.reason);
  signal?.addEventListener('abort', stopped, { once: true });
  const timer = setTimeout(() => stop.abort(), timeout);
  try {
    const response = await fetch(url, { ...init, signal: stop.signal });
    const text = await response.text();
    return opened(response, text);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error instanceof VtonError ? error : noAnswer(stop.signal.aborted, error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stopped);
  }
}

/**
 * The envelope of a success; anything else is thrown.
 *
 * @param {Response} response
 * @param {string} text
 * @returns {any}
 */
function opened(response, text) {
  const answer = parsed(text);
  if (response.ok && answer?.success === true) return answer;
  const { status } = response;
  const waited = {
    status,
    requestId: answer?.request_id ?? response.headers.get('X-Request-ID'),
    retryAfterSeconds: seconds(response.headers.get('Retry-After')),
  };
  if (answer?.success === false) {
    const { message, code, hint, retryable, errors } = answer;
    // Too many requests is the one refusal that waiting cures whatever the catalogue says.
    throw new VtonError(message, {
      code, hint, errors, retryable: retryable || status === 429, ...waited,
    });
  }
  // A proxy's own page, or something that is not this service at all.
  throw new VtonError('The service gave an answer that could not be understood.', {
    code: 'bad_answer',
    hint: status >= 500 ? 'Try again in a few seconds.' : 'Check the address of the service.',
    retryable: status >= 500 || status === 429,
    ...waited,
  });
}

/**
 * @param {boolean} late whether the time was up
 * @param {unknown} cause
 */
function noAnswer(late, cause) {
  return new VtonError(
    late ? 'The service took too long to answer.' : 'The service could not be reached.',
    {
      code: late ? 'timeout' : 'network',
      hint: 'Check your connection and try again.',
      retryable: true,
      cause,
    },
  );
}

/** @param {SessionStatus} session */
function failedSession(session) {
  return new VtonError(session.error_message || 'The try-on did not work out.', {
    ...session.error,
    status: 200,
    sessionId: session.sessionId,
  });
}

/**
 * Whether polling goes on: the service is away or asks for patience, the try-on is not over.
 *
 * @param {unknown} error
 * @returns {error is VtonError}
 */
function isInterruption(error) {
  return error instanceof VtonError && error.retryable && error.status !== 200;
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * `Retry-After` in seconds; it may also be a date.
 *
 * @param {string | null} value
 * @returns {number | null}
 */
function seconds(value) {
  if (!value) return null;
  const given = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(given) ? null : Math.max(0, Math.ceil(given));
}

/** @param {Record<string, string | number | null | undefined>} values */
function queryString(values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return text && `?${text}`;
}

/**
 * @param {{data: any[], meta?: {next_cursor: string | null}}} answer
 */
function asPage(answer) {
  return { items: answer.data, nextCursor: answer.meta?.next_cursor ?? null };
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stopped = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stopped);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', stopped, { once: true });
  });
}

/**
 * Whose a token is: the photo of one user is not sent again for the next.
 *
 * @param {string | null | undefined} token
 * @returns {string | undefined} undefined where that is not to be seen
 */
function subject(token) {
  try {
    const part = (token ?? '').split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(atob(part)).sub;
  } catch {
    return undefined;
  }
}
