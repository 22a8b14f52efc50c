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
/** From this part of an upload on all of it may have arrived: browsers tell it 0.1 s later. */
const NEARLY_SENT = 0.9;
/** How far the clocks of browser and service may be apart, in milliseconds. */
const CLOCKS_MS = 120_000;
/** What the service takes at most, and what is plenty, in bytes and pixels. */
const MAX_BYTES = 10 * 1024 * 1024;
const PLENTY = 2048;

/** @type {Record<string, Record<string, string>>} */
const WORDS = {
  id: {
    'The service could not be reached.': 'Layanan tidak dapat dihubungi.',
    'The service took too long to answer.': 'Layanan terlalu lama merespons.',
    'Check your connection and try again.': 'Periksa koneksi Anda lalu coba lagi.',
    'The service gave an answer that could not be understood.':
      'Jawaban layanan tidak dapat dipahami.',
    'Try again in a few seconds.': 'Coba beberapa detik lagi.',
    'Try again later.': 'Coba lagi nanti.',
    'The picture is not there yet.': 'Gambarnya belum tersedia.',
    'It is taking longer than usual.': 'Prosesnya lebih lama dari biasanya.',
    'It goes on meanwhile. Check again in a moment.':
      'Prosesnya tetap berjalan. Periksa lagi nanti.',
    'The try-on was cancelled.': 'Prosesnya dibatalkan.',
    'Somebody else is signed in now.': 'Sekarang pengguna lain yang masuk.',
    'Please sign in again.': 'Silakan masuk lagi.',
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
 * Whose a run is, by their token: nothing of it is sent with another's.
 *
 * @typedef {{known: boolean, who: string | undefined}} Owner
 *
 * What was started and has not been seen to end, for each user, photo and garment.
 *
 * @typedef {object} Run
 * @property {Owner} owner
 * @property {string} garmentId
 * @property {string} idempotencyKey
 * @property {Blob | {photoOf: string} | null} photo as it is sent; null once it was accepted
 * @property {Promise<Types.Started> | null} started null before, and after it did not work
 * @property {string | null} sessionId
 * @property {number} begunAt in milliseconds since 1970
 * @property {boolean} sent whether the service may have the whole photo
 * @property {AbortController} upload
 * @property {Set<(progress: Types.UploadProgress) => void>} listeners
 */

/** What was thrown because a try-on has failed. @type {WeakSet<VtonError>} */
const endings = new WeakSet();

/**
 * @param {Types.ClientOptions} [options]
 * @returns {Types.Client}
 */
export function createClient({ baseUrl = '', getToken = () => null, language, words } = {}) {
  const root = baseUrl.replace(/\/+$/, '');
  const say = speaker(language, words);
  /** @type {Map<string, Run>} */
  const runs = new Map();

  /** @param {{renew: boolean}} why @returns {Promise<string | null | undefined>} */
  async function token(why) {
    try {
      return await getToken(why);
    } catch (cause) {
      throw cause instanceof VtonError ? cause : noAnswer(false, say, cause);
    }
  }

  /**
   * @param {string} path
   * @param {object} [options]
   * @param {string} [options.method]
   * @param {boolean} [options.signedIn] whether the call is a user's
   * @param {Owner | undefined} [options.owner] whose it has to be; learnt from the first token
   * @param {Record<string, string>} [options.headers]
   * @param {FormData} [options.body]
   * @param {AbortSignal | undefined} [options.signal]
   * @param {(progress: Types.UploadProgress) => void} [options.onProgress]
   * @param {(sent: boolean) => void} [options.onSent] told whether the service may have all of it
   * @returns {Promise<any>} the whole envelope of a success
   */
  async function call(path, options = {}) {
    const { method = 'GET', signedIn = true, owner, headers = {}, body } = options;
    const { signal, onProgress, onSent } = options;
    const spoken = language ? { 'Accept-Language': language } : undefined;
    /** @param {string | null | undefined} bearer */
    const send = async (bearer) => {
      const who = subject(bearer);
      if (owner?.known && owner.who !== who) throw anotherUser(say);
      if (owner) Object.assign(owner, { known: true, who });
      const authorization = bearer ? { Authorization: `Bearer ${bearer}` } : undefined;
      const request = { url: root + path, method, body, signal, onProgress, onSent };
      const sent = { ...spoken, ...headers, ...authorization };
      const exchange = body && globalThis.XMLHttpRequest ? exchangeByXhr : exchangeByFetch;
      return opened(await exchange({ ...request, headers: sent }, say), say);
    };
    const current = signedIn ? await token({ renew: false }) : null;
    try {
      return await send(current);
    } catch (error) {
      if (!signedIn || !(error instanceof VtonError) || error.status !== 401) throw error;
      const renewed = await token({ renew: true });
      if (!renewed || renewed === current || subject(renewed) !== subject(current)) throw error;
      return send(renewed);
    }
  }

  /** @type {Types.Client['listGarments']} */
  async function listGarments({ category, limit, cursor, signal } = {}) {
    const path = '/api/garments' + queryString({ category, limit, cursor });
    return asPage(await call(path, { signedIn: false, signal }));
  }

  /** @type {Types.Client['startTryOn']} */
  const startTryOn = (photo, garmentId, options = {}) => submit(photo, garmentId, options);

  /**
   * @param {Types.Photo} photo
   * @param {string} garmentId
   * @param {Types.StartOptions & {owner?: Owner, onSent?: (sent: boolean) => void}} options
   * @returns {Promise<Types.Started>}
   */
  async function submit(photo, garmentId, options) {
    const { idempotencyKey = newIdempotencyKey(), onUploadProgress, ...others } = options;
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
    const sent = { ...others, method: 'POST', headers, body, onProgress };
    return (await call('/api/try-on', sent)).data;
  }

  /** @type {Types.Client['getStatus']} */
  const getStatus = (sessionId, { signal } = {}) => ask(sessionId, { signal });

  /**
   * @param {string} sessionId
   * @param {{signal?: AbortSignal | undefined, owner?: Owner | undefined}} options
   * @returns {Promise<Types.SessionStatus>}
   */
  async function ask(sessionId, options) {
    const path = `/api/try-on/${encodeURIComponent(sessionId)}/status`;
    const { data } = await call(path, options);
    if (data.status !== 'success' || data.resultImageUrl) return data;
    throw new VtonError(say('The picture is not there yet.'), {
      code: 'unavailable', hint: say('Try again in a few seconds.'), retryable: true, sessionId,
    });
  }

  /** @type {Types.Client['waitForResult']} */
  function waitForResult(sessionId, { timeout, signal, ...told } = {}) {
    const owner = { known: false, who: undefined };
    return bounded(signal, timeout, () => tooLong(sessionId, say), (stop) =>
      poll(sessionId, told, stop, owner));
  }

  /**
   * Poll to the end, and forget what has ended.
   *
   * @param {string} sessionId
   * @param {Pick<Types.WaitOptions, 'onStatus' | 'onUpdate'>} told
   * @param {AbortSignal} signal
   * @param {Owner} owner
   * @returns {Promise<Types.Success>}
   */
  async function poll(sessionId, { onStatus, onUpdate }, signal, owner) {
    /** @type {Types.Status | undefined} */
    let seen;
    /** @type {number | null} */
    let failingSince = null;
    let failures = 0;
    for (;;) {
      let wait = POLL_SECONDS;
      try {
        const session = await ask(sessionId, { signal, owner });
        [failures, failingSince] = [0, null];
        if (session.status !== seen) onStatus?.((seen = session.status), session);
        onUpdate?.(session);
        if (session.status === 'success' || session.status === 'failed') forget(sessionId);
        if (session.status === 'success') return session;
        if (session.status === 'failed') throw failedSession(session, say);
        wait = session.retryAfterSeconds ?? POLL_SECONDS;
      } catch (error) {
        if (error instanceof VtonError) error.sessionId ??= sessionId;
        if (isGone(error)) forget(sessionId);
        if (!isInterruption(error)) throw error;
        wait = Math.max(1, error.retryAfterSeconds ?? Math.min(2 ** failures, MAX_WAIT_SECONDS));
        failingSince ??= Date.now();
        failures += 1;
        // A laptop may have slept between two of them.
        if (failures > 2 && Date.now() + wait * 1000 - failingSince > PATIENCE_MS) throw error;
      }
      await sleep(wait * 1000, signal);
    }
  }

  /** @param {string} sessionId */
  function forget(sessionId) {
    for (const [name, run] of runs) if (run.sessionId === sessionId) runs.delete(name);
  }

  /** @type {Types.Client['tryOn']} */
  function tryOn(photo, garmentId, { onUploadProgress, ...options } = {}) {
    return follow(options, async (stop, told) => {
      const who = subject(await token({ renew: false }));
      stop.throwIfAborted();
      const name = `${who ?? ''} ${garmentId} ${nameOf(photo)}`;
      if (!runs.has(name)) {
        const ready = 'photoOf' in photo ? photo : await prepare(photo);
        stop.throwIfAborted();
        if (!runs.has(name)) runs.set(name, newRun({ known: true, who }, garmentId, ready));
      }
      const run = /** @type {Run} */ (runs.get(name));
      Object.assign(told, { run, name, owner: run.owner });
      if (onUploadProgress) run.listeners.add(onUploadProgress);
      const started = await unlessStopped(begun(run, name), stop).finally(() => {
        if (onUploadProgress) run.listeners.delete(onUploadProgress);
      });
      told.sessionId = started.sessionId;
      options.onStatus?.('queued', started);
      const { onUpdate, onStatus } = options;
      /** @type {Types.WaitOptions['onStatus']} */
      const later = (status, session) => status === 'queued' || onStatus?.(status, session);
      return poll(started.sessionId, { onUpdate, onStatus: later }, stop, run.owner);
    });
  }

  /** @type {Types.Client['resume']} */
  function resume(sessionId, options = {}) {
    return follow(options, (stop, told) => {
      told.sessionId = sessionId;
      return poll(sessionId, options, stop, told.owner);
    });
  }

  /**
   * The start of a run: once more under its key, if it was tried before and that failed.
   *
   * @param {Run} run
   * @param {string} name
   * @returns {Promise<Types.Started>}
   */
  function begun(run, name) {
    if (run.started || !run.photo) return /** @type {Promise<Types.Started>} */ (run.started);
    run.sent = false;
    const start = submit(run.photo, run.garmentId, {
      owner: run.owner,
      idempotencyKey: run.idempotencyKey,
      signal: run.upload.signal,
      onSent: (sent) => (run.sent = sent),
      onUploadProgress: (progress) => run.listeners.forEach((listener) => listener(progress)),
    });
    run.started = start;
    start.then(({ sessionId }) => {
      [run.sessionId, run.photo] = [sessionId, null];
    }, (error) => {
      run.started = null;
      const refused = error instanceof VtonError && !error.retryable && error.code !== 'bad_answer';
      if (refused && runs.get(name) === run) runs.delete(name); // nothing was begun under its key
    });
    return start;
  }

  /**
   * Make a promise that can be cancelled.
   *
   * @typedef {object} Told
   * @property {string | null} sessionId
   * @property {Owner} owner
   * @property {Run} [run]
   * @property {string} [name]
   *
   * @param {Types.WaitOptions} options
   * @param {(stop: AbortSignal, told: Told) => Promise<Types.Success>} task
   * @returns {Types.TryOn}
   */
  function follow({ signal, timeout }, task) {
    /** @type {Told} */
    const told = { sessionId: null, owner: { known: false, who: undefined } };
    /** @type {AbortController | undefined} */
    let stopping;
    const late = () => tooLong(told.sessionId, say);
    const result = bounded(signal, timeout, late, (stop, controller) => {
      stopping = controller;
      return task(stop, told);
    });
    return Object.defineProperties(/** @type {Types.TryOn} */ (result), {
      sessionId: { get: () => told.sessionId },
      cancel: {
        value() {
          result.catch(() => {}); // who cancels knows
          stopping?.abort(new VtonError(say('The try-on was cancelled.'), { code: 'cancelled' }));
          return takeBack(told);
        },
      },
    });
  }

  /**
   * Delete what was begun. Until that is done it is found again by who tries the same on.
   *
   * @param {Told} told
   */
  async function takeBack({ run, name = '', owner, ...told }) {
    if (run && runs.get(name) === run) runs.delete(name);
    try {
      const sessionId = told.sessionId ?? (run ? await arrived(run) : null);
      if (sessionId) await remove(sessionId, { owner });
    } catch (error) {
      if (isGone(error)) return; // already
      if (run && !runs.has(name)) runs.set(name, run);
      throw error;
    }
  }

  /**
   * The session of a run that is being cancelled; null where the service has none.
   *
   * @param {Run} run
   */
  async function arrived(run) {
    if (!run.sent) run.upload.abort(); // most of the photo is still here
    try {
      return (await run.started)?.sessionId ?? (run.sent ? await lost(run) : null);
    } catch (error) {
      return run.sent && isInterruption(error) ? lost(run) : null;
    }
  }

  /**
   * Find a session whose start was not answered: the newest of its garment that nobody follows.
   *
   * @param {Run} run
   */
  async function lost({ owner, garmentId, begunAt }) {
    const path = '/api/try-on/history' + queryString({ status: 'unfinished', limit: 100 });
    const { data } = await call(path, { owner });
    const followed = new Set([...runs.values()].map(({ sessionId }) => sessionId));
    /** @type {Types.HistoryItem[]} */
    const items = data;
    const found = items.find(({ id, garment_id, created_at }) => garment_id === garmentId
      && !followed.has(id) && Date.parse(created_at) > begunAt - CLOCKS_MS);
    return found?.sessionId ?? null;
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
  const deleteSession = (sessionId, { signal } = {}) => remove(sessionId, { signal });

  /**
   * @param {string} sessionId
   * @param {{signal?: AbortSignal | undefined, owner?: Owner | undefined}} options
   */
  async function remove(sessionId, options) {
    await call(`/api/try-on/${encodeURIComponent(sessionId)}`, { ...options, method: 'DELETE' });
    forget(sessionId);
  }

  /** @type {Types.Client['handleTryOn']} */
  async function handleTryOn(photo, garmentId, { onStatusChange, onSuccess, onError } = {}) {
    /** @type {Types.Success} */
    let result;
    try {
      result = await tryOn(photo, garmentId, {
        onStatus: (status) => status === 'queued' && onStatusChange?.(status),
        onUpdate: ({ status }) => onStatusChange?.(status),
      });
    } catch (error) {
      console.error('Error during try-on:', error);
      const { message, hint } = /** @type {VtonError} */ (error);
      onError?.([message, hint].filter(Boolean).join(' '));
      return;
    }
    onSuccess?.(result.resultImageUrl);
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

/**
 * @param {Owner} owner
 * @param {string} garmentId
 * @param {Blob | {photoOf: string}} photo
 * @returns {Run}
 */
function newRun(owner, garmentId, photo) {
  return {
    owner, garmentId, photo, idempotencyKey: newIdempotencyKey(), started: null, sessionId: null,
    begunAt: Date.now(), sent: false, upload: new AbortController(), listeners: new Set(),
  };
}

/** @type {typeof Types.prepare} */
export async function prepare(photo) {
  if (!globalThis.createImageBitmap || !globalThis.document) return photo;
  let bitmap;
  try {
    bitmap = await createImageBitmap(photo, { imageOrientation: 'from-image' });
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
 * @property {((sent: boolean) => void) | undefined} onSent
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
async function exchangeByFetch({ url, method, headers, body, signal, onSent }, say) {
  signal?.throwIfAborted();
  onSent?.(true);
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
function exchangeByXhr({ url, method, headers, body, signal, onProgress, onSent }, say) {
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
      const fraction = total ? loaded / total : 1;
      onSent?.(fraction >= NEARLY_SENT);
      onProgress?.({ loaded, total, fraction });
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
    onSent?.(true); // until it tells that it is not
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
 * @param {string | null} sessionId
 * @param {Say} say
 */
function tooLong(sessionId, say) {
  const hint = say('It goes on meanwhile. Check again in a moment.');
  return new VtonError(say('It is taking longer than usual.'), {
    code: 'timeout', hint, retryable: true, sessionId,
  });
}

/** @param {Say} say */
function anotherUser(say) {
  const hint = say('Please sign in again.');
  return new VtonError(say('Somebody else is signed in now.'), {
    code: 'token_invalid', hint, status: 401,
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
  const error = new VtonError(session.error_message || say('The try-on did not work out.'), {
    ...session.error, status: 200, sessionId: session.sessionId,
  });
  endings.add(error);
  return error;
}

/**
 * Whether polling goes on: the service is away, asks for patience, or something else answers in
 * its place; the try-on is not over.
 *
 * @param {unknown} error
 * @returns {error is VtonError}
 */
function isInterruption(error) {
  if (!(error instanceof VtonError) || endings.has(error)) return false;
  return error.retryable || error.code === 'bad_answer';
}

/** @param {unknown} error */
function isGone(error) {
  return error instanceof VtonError && error.code === 'session_not_found';
}

/**
 * Do something that ends with the signal's reason when that is given, or late.
 *
 * @template T
 * @param {AbortSignal | undefined} signal
 * @param {number | undefined} timeout in milliseconds
 * @param {() => VtonError} late what it ends with when the time is up
 * @param {(stop: AbortSignal, controller: AbortController) => Promise<T>} task
 * @returns {Promise<T>}
 */
async function bounded(signal, timeout, late, task) {
  const stop = new AbortController();
  const stopped = () => stop.abort(signal?.reason);
  if (signal?.aborted) stopped();
  signal?.addEventListener('abort', stopped, { once: true });
  const timer = timeout === undefined ? undefined : setTimeout(() => stop.abort(late()), timeout);
  try {
    return await task(stop.signal, stop);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stopped);
  }
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
