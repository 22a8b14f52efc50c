// @ts-check
/** The one try-on that is running: started, followed to its end, found again after a reload. */

import { asProblem } from './dom.js';
import { checkSize, smallCopy } from './photo.js';
import { forget, remember } from './tryon.js';
import { newIdempotencyKey } from './vton-client.js';

/**
 * @typedef {import('./tryon.js').TryOn} TryOn
 *
 * @typedef {object} Wish what somebody wants to see
 * @property {Blob} photo
 * @property {string} originalUrl shows the photo
 * @property {string} garmentId
 * @property {string} garmentName
 * @property {string} garmentBrand
 * @property {string} garmentUrl
 */

/**
 * @param {object} options
 * @param {import('./vton-client.js').Client} options.vton
 * @param {(tryOn: TryOn) => void} options.onStart
 * @param {(tryOn: TryOn) => void} options.onProgress
 * @param {(tryOn: TryOn) => void} options.onEnd
 * @param {() => void} options.onChange called when a button may have to change
 * @param {(error: unknown) => boolean} options.isSignedOut
 */
export function createRunner({ vton, onStart, onProgress, onEnd, onChange, isSignedOut }) {
  /** @type {TryOn | null} */
  let running = null;
  let sending = false;
  let visit = 0; // another one begins when somebody signs in or out
  let following = new AbortController();
  /** A start that failed is repeated under its own key, so that it cannot be paid twice. */
  let last = { photo: /** @type {Blob | null} */ (null), garmentId: '', key: '' };

  /**
   * @param {Blob} photo
   * @param {string} garmentId
   */
  async function send(photo, garmentId) {
    if (last.photo !== photo || last.garmentId !== garmentId) {
      last = { photo, garmentId, key: newIdempotencyKey() };
    }
    const started = await vton.startTryOn(photo, garmentId, { idempotencyKey: last.key });
    last = { photo: null, garmentId: '', key: '' };
    return started.sessionId;
  }

  /**
   * Start a try-on. Throws when it is not accepted; what comes later is told by `onEnd`.
   *
   * @param {string} userId
   * @param {Wish} wish
   */
  async function start(userId, { photo, ...wish }) {
    if (sending || running) return;
    const startedAt = Date.now();
    const mine = visit;
    sending = true;
    onChange();
    try {
      checkSize(photo);
      const sessionId = await send(photo, wish.garmentId);
      const copy = await smallCopy(photo);
      if (mine !== visit) return;
      /** @type {TryOn} */
      const tryOn = {
        ...wish, sessionId, startedAt, photo,
        status: 'queued', resultUrl: '', live: true, error: null,
      };
      remember(userId, tryOn, copy);
      sending = false;
      follow(tryOn);
    } finally {
      sending = false;
      onChange();
    }
  }

  /**
   * Follow an accepted try-on to its end.
   *
   * @param {TryOn} tryOn
   */
  async function follow(tryOn) {
    following = new AbortController();
    const { signal } = following;
    running = tryOn;
    tryOn.error = null;
    onStart(tryOn);
    onChange();
    try {
      const done = await vton.waitForResult(tryOn.sessionId, {
        signal,
        onStatus(status) {
          tryOn.status = status;
          if (status === 'processing') onProgress(tryOn);
        },
      });
      tryOn.resultUrl = done.resultImageUrl ?? '';
    } catch (error) {
      if (signal.aborted || isSignedOut(error)) return;
      tryOn.error = asProblem(error);
      // Out of reach for minutes: it may be well, and can be followed again.
      if (!tryOn.error.retryable) tryOn.status = 'failed';
    }
    running = null;
    if (tryOn.status === 'success' || tryOn.status === 'failed') forget();
    onEnd(tryOn);
    onChange();
  }

  return {
    start,
    follow,
    /** Stop following; the try-on itself goes on. */
    stop() {
      visit += 1;
      following.abort();
      running = null;
      last = { photo: null, garmentId: '', key: '' };
    },
    get running() {
      return running;
    },
    get sending() {
      return sending;
    },
  };
}
