// @ts-check
/** The one try-on that is running: started, followed to its end, found again after a reload. */

import { smallCopy } from './photo.js';
import { asProblem } from './problem.js';
import { forget, remember } from './tryon.js';

/**
 * @typedef {import('./tryon.js').TryOn} TryOn
 *
 * @typedef {object} Wish what somebody wants to see
 * @property {import('./vton-client.js').Photo} photo
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
  /** @type {number | null} */
  let sent = null; // how much of the photo, 0 to 1, while it is on its way
  /** @type {import('./vton-client.js').TryOn | null} */
  let run = null;
  let leaving = new AbortController();

  /**
   * Start a try-on. Throws when it is not accepted; what comes later is told by `onEnd`.
   *
   * @param {string} userId
   * @param {Wish} wish
   */
  async function start(userId, wish) {
    if (sent !== null || running) return;
    /** @type {TryOn} */
    const tryOn = {
      ...wish, sessionId: '', startedAt: Date.now(), status: 'queued', resultUrl: '', live: true,
      readyAt: null, error: null,
    };
    sent = 0;
    onChange();
    await watch(tryOn, (options) => vton.tryOn(wish.photo, wish.garmentId, {
      ...options,
      onUploadProgress({ fraction }) {
        if (sent !== null) sent = fraction;
        onChange();
      },
      onStatus(status, { sessionId }) {
        if (!tryOn.sessionId) {
          tryOn.sessionId = sessionId;
          begin(tryOn);
          keep(userId, tryOn);
        }
        tryOn.status = status;
      },
    }));
  }

  /**
   * Follow an accepted try-on to its end.
   *
   * @param {TryOn} tryOn
   */
  async function follow(tryOn) {
    tryOn.error = null;
    begin(tryOn);
    await watch(tryOn, (options) => vton.resume(tryOn.sessionId, options));
  }

  /** @param {TryOn} tryOn */
  function begin(tryOn) {
    sent = null;
    running = tryOn;
    onStart(tryOn);
    onChange();
  }

  /**
   * @param {TryOn} tryOn
   * @param {(options: import('./vton-client.js').WaitOptions) => import('./vton-client.js').TryOn}
   *   ask
   */
  async function watch(tryOn, ask) {
    const { signal } = (leaving = new AbortController());
    try {
      run = ask({
        signal,
        onUpdate({ status, etaSeconds }) {
          tryOn.status = status;
          tryOn.readyAt = etaSeconds && Date.now() + etaSeconds * 1000;
          if (status === 'queued' || status === 'processing') onProgress(tryOn);
        },
      });
      tryOn.resultUrl = (await run).resultImageUrl;
    } catch (error) {
      if (signal.aborted) return;
      const cancelled = asProblem(error).code === 'cancelled';
      if (!cancelled && isSignedOut(error)) return;
      [running, sent] = [null, null];
      onChange();
      if (cancelled) return;
      if (!tryOn.sessionId) throw error;
      tryOn.error = asProblem(error);
      // Out of reach for minutes: it may be well, and can be followed again.
      if (!tryOn.error.retryable) tryOn.status = 'failed';
    }
    running = null;
    if (tryOn.status === 'success' || tryOn.status === 'failed') forget(tryOn.sessionId);
    onEnd(tryOn);
    onChange();
  }

  /**
   * Note it, so that it is found after a reload.
   *
   * @param {string} userId
   * @param {TryOn} tryOn
   */
  async function keep(userId, tryOn) {
    remember(userId, tryOn, tryOn.photo instanceof Blob ? '' : tryOn.originalUrl);
    if (!(tryOn.photo instanceof Blob)) return;
    const copy = await smallCopy(tryOn.photo);
    if (running === tryOn) remember(userId, tryOn, copy);
  }

  return {
    start,
    follow,
    /** Stop following; the try-on itself goes on. */
    stop() {
      leaving.abort();
      [running, sent] = [null, null];
    },
    /** Stop what is being sent or followed, and delete it. */
    async cancel() {
      await run?.cancel();
    },
    get running() {
      return running;
    },
    get sent() {
      return sent;
    },
  };
}
