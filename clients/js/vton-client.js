// @ts-check
/**
 * A client of the virtual try-on service: one file, no dependencies, for browsers and Node 20.
 * It is one file of more than 300 lines so that a frontend can copy it. `vton-client.d.ts` says
 * what each part of it takes and gives.
 *
 *     import { createClient } from './vton-client.js';
 *
 *     const vton = createClient({ baseUrl: 'https://…', getToken: () => accessToken });
 *     const { items } = await vton.listGarments({ category: 'shirts' });
 *     const result = await vton.tryOn(photo, items[0].id, { onStatus: console.log });
 *     image.src = result.resultImageUrl;
 */

/** @import * as Types from './vton-client.d.ts' */

/** How long one answer may take, and how long an upload may stand still, in milliseconds. */
const ANSWER_MS = 20_000;
const STALLED_MS = 60_000;
/** How long an upload may take where its progress is not told (Node). */
const UPLOAD_MS = 300_000;
/** Wait so long between two polls where the server does not say. */
const POLL_SECONDS = 2;
/** While the service cannot be reached, wait longer each time, but never longer than this. */
const MAX_WAIT_SECONDS = 15;
/** Give up polling after so long of nothing but failures. The try-on itself goes on. */
const PATIENCE_MS = 180_000;
/** What the service takes at most, and what is plenty, in bytes and pixels. */
const MAX_BYTES = 10 * 1024 * 1024;
const PLENTY = 2048;

/** @type {Record<string, Record<string, string>>} */
const WORDS = {
  id: {
    'The service could not be reached.': 'Layanan tidak dapat dihubungi.',
    'The service took too long to answer.': 'Layanan terlalu lama menjawab.',
    'Check your connection and try again.': 'Periksa koneksi Anda lalu coba lagi.',
    'The service gave an answer that could not be understood.':
      'Jawaban layanan tidak dapat dipahami.',
    'Try again in a few seconds.': 'Coba lagi dalam beberapa detik.',
    'Try again later.': 'Coba lagi nanti.',
    'The picture is not there yet.': 'Gambarnya belum tersedia.',
    'It is taking longer than usual.': 'Prosesnya lebih lama dari biasanya.',
    'It goes on meanwhile. Check again in a moment.':
      'Prosesnya tetap berjalan. Periksa lagi sebentar lagi.',
    'The try-on was cancelled.': 'Percobaan dibatalkan.',
    'The try-on did not work out.': 'Gambar tidak berhasil dibuat.',
    'The photo is larger than 10 MB.': 'Ukuran foto lebih dari 10 MB.',
    'Choose a smaller one; 2048 pixels a side are plenty.':
      'Pilih foto yang lebih kecil; 2048 piksel per sisi sudah cukup.',
  },
};

/** What went wrong, in words for people (`message`, `hint`) and for programs (`code`). */
export class VtonError extends Error {
  /**
   * @param {string} message
   * @param {Types.VtonErrorDetails} [details]
   */
  constructor(message, details = {}) {
    super(message, { cause: details.cause });
    this.name = 'VtonError';
    this.code = details.code ?? 'internal';
    this.hint = details.hint ?? '';
    this.retryable = details.retryable ?? false;
    this.status = details.status ?? 0;
    this.requestId = details.requestId ?? null;
    this.detail = details.detail ?? null;
    this.errors = details.errors ?? null;
    this.retryAfterSeconds = details.retryAfterSeconds ?? null;
    this.sessionId = details.sessionId ?? null;
  }
}

/**
 * What was started and has not been seen to end, for each user, photo and garment.
 *
 * @typedef {object} Run
 * @property {string} idempotencyKey
 * @property {Blob | {photoOf: string}} photo as it is sent
 * @property {Promise<Types.Started> | null} started null before, and after it did not work
 * @property {boolean} sent whether the service may have the whole photo
 * @property {AbortController} upload
 * @property {Set<object>} waiting who waits for the start
 * @property {Set<(progress: Types.UploadProgress) => void>} listeners
 */

/**
 * @param {Types.ClientOptions} [options]
 * @returns {Types.Client}
 */
export function createClient({ baseUrl = '', getToken = () => null, language, words } = {}) {
  const root = baseUrl.replace(/\/+$/, '');
  const say = speaker(language, words);
  /** @type {Map<string, Run>} */
  const runs = new Map();

  /**
   * @param {string} path
   * @param {object} [options]
   * @param {string} [options.method]
   * @param {boolean} [options.signedIn] whether the call is a user's
   * @param {Record<string, string>} [options.headers]
   * @param {FormData} [options.body]
   * @param {AbortSignal | undefined} [options.signal]
   * @param {(progress: Types.UploadProgress) => void} [options.onProgress]
   * @returns {Promise<any>} the whole envelope of a success
   */
  async function call(path, options = {}) {
    const { method = 'GET', signedIn = true, headers = {}, body, signal, onProgress } = options;
    const spoken = language ? { 'Accept-Language': language } : undefined;
    /** @param {string | null | undefined} token */
    const send = async (token) => {
      const bearer = token ? { Authorization: `Bearer ${token}` } : undefined;
      const request = { url: root + path, method, body, signal, onProgress };
      const sent = { ...spoken, ...headers, ...bearer };
      const exchange = body && globalThis.XMLHttpRequest ? exchangeByXhr : exchangeByFetch;
      return opened(await exchange({ ...request, headers: sent }, say), say);
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

  /** @type {Types.Client['listGarments']} */
  async function listGarments({ category, limit, cursor, signal } = {}) {
    const path = '/api/garments' + queryString({ category, limit, cursor });
    return asPage(await call(path, { signedIn: false, signal }));
  }

  /** @type {Types.Client['startTryOn']} */
  async function startTryOn(photo, garmentId, options = {}) {
    const { idempotencyKey = newIdempotencyKey(), signal, onUploadProgress } = options;
    const body = new FormData();
    if ('photoOf' in photo) {
      body.append('photoOf', photo.photoOf);
    } else {
      if (photo.size > MAX_BYTES) throw tooLarge(say);
      body.append('userImage', photo, /** @type {File} */ (photo).name || 'photo');
    }
    body.append('garmentId', garmentId);
    const headers = { 'Idempotency-Key': idempotencyKey };
    const onProgress = onUploadProgress ?? (() => {});
    return (await call('/api/try-on', { method: 'POST', headers, body, signal, onProgress })).data;
  }

  /** @type {Types.Client['getStatus']} */
  async function getStatus(sessionId, { signal } = {}) {
    const path = `/api/try-on/${encodeURIComponent(sessionId)}/status`;
    const { data } = await call(path, { signal });
    if (data.status !== 'success' || data.resultImageUrl) return data;
    throw new VtonError(say('The picture is not there yet.'), {
      code: 'unavailable', hint: say('Try again in a few seconds.'), retryable: true, sessionId,
    });
  }

  /** @type {Types.Client['waitForResult']} */
  async function waitForResult(sessionId, { onStatus, onUpdate, signal, timeout } = {}) {
    const deadline = timeout === undefined ? Infinity : Date.now() + timeout;
    /** @type {Types.Status | undefined} */
    let seen;
    /** @type {number | null} */
    let failingSince = null;
    let failures = 0;
    for (;;) {
      let wait = POLL_SECONDS;
      try {
        const session = await getStatus(sessionId, { signal });
        [failures, failingSince] = [0, null];
        if (session.status !== seen) onStatus?.((seen = session.status), session);
        onUpdate?.(session);
        if (session.status === 'success') return session;
        if (session.status === 'failed') throw failedSession(session, say);
        wait = session.retryAfterSeconds ?? POLL_SECONDS;
      } catch (error) {
        if (error instanceof VtonError) error.sessionId ??= sessionId;
        if (!isInterruption(error)) throw error;
        wait = error.retryAfterSeconds ?? Math.min(2 ** failures, MAX_WAIT_SECONDS);
        failingSince ??= Date.now();
        if (Date.now() + wait * 1000 - failingSince > PATIENCE_MS) throw error;
        failures += 1;
      }
      await sleep(Math.min(wait * 1000, Math.max(0, deadline - Date.now())), signal);
      if (Date.now() >= deadline) throw tooLong(sessionId, say);
    }
  }

  /** @type {Types.Client['tryOn']} */
  function tryOn(photo, garmentId, options = {}) {
    const { onUploadProgress, ...waiting } = options;
    const begun = Date.now();
    return follow(waiting, async (stop, told) => {
      const who = subject(await getToken({ renew: false })) ?? '';
      stop.throwIfAborted();
      const name = `${who} ${garmentId} ${nameOf(photo)}`;
      const run = runs.get(name) ?? (await newRun(photo, name));
      told.run = { run, forget: () => runs.delete(name) };
      const started = await joined(run, garmentId, stop, onUploadProgress).catch((error) => {
        // Refused for good: nothing was begun under its key.
        if (error instanceof VtonError && error.status && !error.retryable) runs.delete(name);
        throw error;
      });
      const sessionId = (told.sessionId = started.sessionId);
      waiting.onStatus?.('queued', started);
      const left = waiting.timeout && Math.max(0, begun + waiting.timeout - Date.now());
      try {
        const result = await waitForResult(sessionId, {
          ...waiting,
          signal: stop,
          timeout: left,
          onStatus: (status, session) =>
            status === 'queued' || waiting.onStatus?.(status, session),
        });
        runs.delete(name);
        return result;
      } catch (error) {
        // It has ended, or is gone: the next one is another. Else it goes on, and is found again.
        if (error instanceof VtonError && [200, 404].includes(error.status)) runs.delete(name);
        throw error;
      }
    });
  }

  /** @type {Types.Client['resume']} */
  function resume(sessionId, options = {}) {
    return follow(options, (stop, told) => {
      told.sessionId = sessionId;
      return waitForResult(sessionId, { ...options, signal: stop });
    });
  }

  /**
   * @param {Types.Photo} photo
   * @param {string} name
   */
  async function newRun(photo, name) {
    const ready = 'photoOf' in photo ? photo : await prepare(photo);
    const run = runs.get(name) ?? {
      idempotencyKey: newIdempotencyKey(), photo: ready, started: null, sent: false,
      upload: new AbortController(), waiting: new Set(), listeners: new Set(),
    };
    runs.set(name, run);
    return run;
  }

  /**
   * Wait for a run's start, and make it where nobody has: once more under its key, if that failed.
   *
   * @param {Run} run
   * @param {string} garmentId
   * @param {AbortSignal} stop
   * @param {((progress: Types.UploadProgress) => void) | undefined} onUploadProgress
   * @returns {Promise<Types.Started>}
   */
  async function joined(run, garmentId, stop, onUploadProgress) {
    stop.throwIfAborted();
    if (!run.started) {
      run.upload = new AbortController();
      run.sent = !globalThis.XMLHttpRequest;
      run.started = startTryOn(run.photo, garmentId, {
        idempotencyKey: run.idempotencyKey,
        signal: run.upload.signal,
        onUploadProgress(progress) {
          run.sent = progress.fraction === 1;
          for (const listener of run.listeners) listener(progress);
        },
      });
      run.started.catch(() => (run.started = null));
    }
    if (onUploadProgress) run.listeners.add(onUploadProgress);
    run.waiting.add(stop);
    try {
      return await unlessStopped(run.started, stop);
    } finally {
      run.waiting.delete(stop);
      if (onUploadProgress) run.listeners.delete(onUploadProgress);
      if (stop.aborted && !run.waiting.size && !run.sent) run.upload.abort(stop.reason);
    }
  }

  /**
   * Make a promise that can be cancelled.
   *
   * @typedef {{sessionId: string | null, run?: {run: Run, forget: () => void}}} Told
   *
   * @param {Types.WaitOptions} options
   * @param {(stop: AbortSignal, told: Told) => Promise<Types.Success>} task
   * @returns {Types.TryOn}
   */
  function follow({ signal }, task) {
    const stop = new AbortController();
    const stopped = () => stop.abort(signal?.reason);
    if (signal?.aborted) stopped();
    signal?.addEventListener('abort', stopped, { once: true });
    /** @type {Told} */
    const told = { sessionId: null };
    const result = task(stop.signal, told).finally(() =>
      signal?.removeEventListener('abort', stopped));
    return Object.defineProperties(/** @type {Types.TryOn} */ (result), {
      sessionId: { get: () => told.sessionId },
      cancel: {
        async value() {
          result.catch(() => {}); // who cancels knows
          stop.abort(new VtonError(say('The try-on was cancelled.'), { code: 'cancelled' }));
          const started = await told.run?.run.started?.catch(() => null);
          told.run?.forget();
          const sessionId = told.sessionId ?? started?.sessionId;
          if (!sessionId) return;
          await deleteSession(sessionId).catch((error) => {
            if (error?.status !== 404) throw error; // else it is gone already
          });
        },
      },
    });
  }

  /** @type {Types.Client['listHistory']} */
  async function listHistory({ status, limit, cursor, signal } = {}) {
    const path = '/api/try-on/history' + queryString({ status, limit, cursor });
    return asPage(await call(path, { signal }));
  }

  /** @type {Types.Client['unfinished']} */
  async function unfinished({ signal } = {}) {
    return (await listHistory({ status: 'unfinished', limit: 100, signal })).items;
  }

  /** @type {Types.Client['deleteSession']} */
  async function deleteSession(sessionId, { signal } = {}) {
    await call(`/api/try-on/${encodeURIComponent(sessionId)}`, { method: 'DELETE', signal });
  }

  /** @type {Types.Client['handleTryOn']} */
  async function handleTryOn(photo, garmentId, { onStatusChange, onSuccess, onError } = {}) {
    try {
      const result = await tryOn(photo, garmentId, {
        onStatus: (status) => status === 'queued' && onStatusChange?.(status),
        onUpdate: ({ status }) => onStatusChange?.(status),
      });
      onSuccess?.(result.resultImageUrl);
    } catch (error) {
      console.error('Error during try-on:', error);
      const { message, hint } = /** @type {VtonError} */ (error);
      onError?.([message, hint].filter(Boolean).join(' '));
    }
  }

  return {
    listGarments,
    tryOn,
    resume,
    unfinished,
    startTryOn,
    getStatus,
    waitForResult,
    listHistory,
    deleteSession,
    handleTryOn,
  };
}

/** @type {typeof Types.prepare} */
export async function prepare(photo) {
  if (!globalThis.createImageBitmap || !globalThis.document) return photo;
  let bitmap;
  try {
    bitmap = await createImageBitmap(photo);
    const scale = PLENTY / Math.max(bitmap.width, bitmap.height);
    if (scale >= 1) return photo;
    const canvas = document.createElement('canvas');
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext('2d');
    if (!context) return photo;
    context.fillStyle = '#fff'; // behind what is transparent, as the service has it
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = 'high';
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    /** @type {Blob | null} */
    const smaller = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.92));
    if (!smaller || (smaller.size >= photo.size && photo.size <= MAX_BYTES)) return photo;
    const name = (/** @type {File} */ (photo).name ?? 'photo').replace(/\.\w+$/, '');
    return new File([smaller], `${name}.jpg`, { type: 'image/jpeg' });
  } catch {
    return photo; // of a kind that this browser cannot read, as HEIC mostly
  } finally {
    bitmap?.close();
  }
}

/** @type {typeof Types.newIdempotencyKey} */
export function newIdempotencyKey() {
  const browser = /** @type {Partial<Crypto>} */ (crypto);
  if (browser.randomUUID) return browser.randomUUID();
  // Pages that are neither https nor on localhost have getRandomValues only.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/**
 * @typedef {object} Request
 * @property {string} url
 * @property {string} method
 * @property {Record<string, string>} headers
 * @property {FormData | undefined} body
 * @property {AbortSignal | undefined} signal
 * @property {((progress: Types.UploadProgress) => void) | undefined} onProgress
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} text
 * @property {(name: string) => string | null} header
 *
 * @typedef {(text: string) => string} Say puts a sentence of ours into the reader's language
 */

/**
 * Send one request and read its whole answer.
 *
 * @param {Request} request
 * @param {Say} say
 * @returns {Promise<Answer>}
 */
async function exchangeByFetch({ url, method, headers, body, signal }, say) {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const stopped = () => stop.abort(signal?.reason);
  signal?.addEventListener('abort', stopped, { once: true });
  const timer = setTimeout(() => stop.abort(), body ? UPLOAD_MS : ANSWER_MS);
  try {
    const init = { method, headers, body: body ?? null, signal: stop.signal };
    const response = await fetch(url, init);
    const text = await response.text();
    return { status: response.status, text, header: (name) => response.headers.get(name) };
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw noAnswer(stop.signal.aborted, say, error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stopped);
  }
}

/**
 * The same in browsers, where `fetch` does not tell how far an upload has got.
 *
 * @param {Request} request
 * @param {Say} say
 * @returns {Promise<Answer>}
 */
function exchangeByXhr({ url, method, headers, body, signal, onProgress }, say) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const xhr = new XMLHttpRequest();
    let late = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        late = true;
        xhr.abort();
      }, STALLED_MS);
    };
    const stopped = () => xhr.abort();
    signal?.addEventListener('abort', stopped, { once: true });
    xhr.upload.onprogress = ({ loaded, total }) => {
      alive();
      onProgress?.({ loaded, total, fraction: total ? loaded / total : 1 });
    };
    xhr.onload = () => resolve({
      status: xhr.status, text: xhr.responseText, header: (name) => xhr.getResponseHeader(name),
    });
    xhr.onerror = () => reject(noAnswer(false, say));
    xhr.onabort = () => reject(late ? noAnswer(true, say) : signal?.reason);
    xhr.onloadend = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stopped);
    };
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    alive();
    xhr.send(body ?? null);
  });
}

/**
 * The envelope of a success; anything else is thrown.
 *
 * @param {Answer} answer
 * @param {Say} say
 * @returns {any}
 */
function opened({ status, text, header }, say) {
  const answer = parsed(text);
  if (status >= 200 && status < 300 && answer?.success === true) return answer;
  const waited = {
    status,
    requestId: answer?.request_id ?? header('X-Request-ID'),
    retryAfterSeconds: seconds(header('Retry-After')),
  };
  if (answer?.success === false) {
    const { message, code, hint, retryable, errors, detail } = answer;
    // Too many requests is the one refusal that waiting cures whatever the catalogue says.
    throw new VtonError(message, {
      code, hint, errors, detail, retryable: retryable || status === 429, ...waited,
    });
  }
  // A proxy's own page, or something that is not this service at all.
  const again = status >= 500 || status === 429;
  throw new VtonError(say('The service gave an answer that could not be understood.'), {
    code: 'bad_answer',
    hint: say(again ? 'Try again in a few seconds.' : 'Try again later.'),
    detail: again ? null : 'Is baseUrl the address of the service?',
    retryable: again,
    ...waited,
  });
}

/**
 * @param {boolean} late whether the time was up
 * @param {Say} say
 * @param {unknown} [cause]
 */
function noAnswer(late, say, cause) {
  const message = late
    ? 'The service took too long to answer.'
    : 'The service could not be reached.';
  return new VtonError(say(message), {
    code: late ? 'timeout' : 'network',
    hint: say('Check your connection and try again.'),
    retryable: true,
    cause,
  });
}

/**
 * @param {string} sessionId
 * @param {Say} say
 */
function tooLong(sessionId, say) {
  const hint = say('It goes on meanwhile. Check again in a moment.');
  return new VtonError(say('It is taking longer than usual.'), {
    code: 'timeout', hint, retryable: true, sessionId,
  });
}

/** @param {Say} say */
function tooLarge(say) {
  const hint = say('Choose a smaller one; 2048 pixels a side are plenty.');
  return new VtonError(say('The photo is larger than 10 MB.'), { code: 'photo_too_large', hint });
}

/**
 * @param {Types.Failed} session
 * @param {Say} say
 */
function failedSession(session, say) {
  return new VtonError(session.error_message || say('The try-on did not work out.'), {
    ...session.error, status: 200, sessionId: session.sessionId,
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

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal} stop
 * @returns {Promise<T>} rejected with the signal's reason as soon as that is given
 */
function unlessStopped(promise, stop) {
  return new Promise((resolve, reject) => {
    stop.throwIfAborted();
    const stopped = () => reject(stop.reason);
    stop.addEventListener('abort', stopped, { once: true });
    promise.then(resolve, reject).finally(() => stop.removeEventListener('abort', stopped));
  });
}

/** @type {WeakMap<object, string>} */
const names = new WeakMap();

/**
 * A name for a photo: two files of one name, size and time are the same, however they were chosen.
 *
 * @param {Types.Photo} photo
 */
function nameOf(photo) {
  if ('photoOf' in photo) return photo.photoOf;
  if (globalThis.File && photo instanceof File) {
    return JSON.stringify([photo.name, photo.size, photo.lastModified]);
  }
  const name = names.get(photo) ?? newIdempotencyKey();
  names.set(photo, name);
  return name;
}

/**
 * @param {string | undefined} language
 * @param {Readonly<Record<string, string>> | undefined} words
 * @returns {Say}
 */
function speaker(language, words) {
  const spoken = (language ?? globalThis.navigator?.language ?? 'en').toLowerCase().split('-')[0];
  const known = words ?? WORDS[spoken === 'in' ? 'id' : spoken ?? 'en'];
  return (text) => known?.[text] ?? text;
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
 * @param {AbortSignal | undefined} signal
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
    const part = ((token ?? '').split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(atob(part)).sub;
  } catch {
    return undefined;
  }
}
