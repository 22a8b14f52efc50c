// @ts-check
/** Signing in with Supabase Auth over its HTTP API, as far as this page needs it. */

import { t } from './words.js';
import { VtonError } from './vton-client.js';

const STORED = 'vton.session';
/** Renew a token so long before it expires, in seconds. */
const MARGIN = 60;

/**
 * What Supabase Auth says most often, by its code
 * (https://supabase.com/docs/guides/auth/debugging/error-codes).
 *
 * @type {Record<string, string>}
 */
const KNOWN = {
  invalid_credentials: t('Email or password is wrong.'),
  email_not_confirmed: t('Please open the link in the email we have sent you first.'),
  user_already_exists: t('There is an account with this address already.'),
  weak_password: t('The password is too weak.'),
  over_request_rate_limit: t('That was too much at once.'),
};

/**
 * @typedef {object} Session
 * @property {string} access_token
 * @property {string} refresh_token
 * @property {number} expires_at in seconds since 1970
 * @property {{id: string, email?: string}} user
 */

/**
 * @param {object} options
 * @param {string} options.supabaseUrl
 * @param {string} options.publishableKey
 * @param {() => void} options.onChange called when somebody signs in or out, in any tab
 */
export function createAuth({ supabaseUrl, publishableKey, onChange }) {
  /** @type {Promise<string | null> | null} */
  let renewal = null;

  /** @returns {Session | null} */
  function session() {
    try {
      return JSON.parse(localStorage.getItem(STORED) ?? 'null');
    } catch {
      return null;
    }
  }

  /** @param {Session | null} next */
  function keep(next) {
    if (next) localStorage.setItem(STORED, JSON.stringify(next));
    else localStorage.removeItem(STORED);
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {string} [token]
   * @returns {Promise<any>}
   */
  async function post(path, body, token) {
    /** @type {Record<string, string>} */
    const headers = { apikey: publishableKey, 'Content-Type': 'application/json' };
    if (token) headers.Authorization = `Bearer ${token}`;
    /** @type {Response} */
    let response;
    try {
      const init = { method: 'POST', headers, body: JSON.stringify(body) };
      response = await fetch(`${supabaseUrl}/auth/v1/${path}`, init);
    } catch (cause) {
      throw new VtonError(t('Sign-in could not be reached.'), {
        code: 'network', hint: t('Check your connection and try again.'), retryable: true, cause,
      });
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw refused(response.status, answer);
    return answer;
  }

  /** @param {any} answer @returns {Session} */
  function asSession({ access_token, refresh_token, expires_at, expires_in, user }) {
    const expires = expires_at ?? Date.now() / 1000 + expires_in;
    const { id, email } = user;
    return { access_token, refresh_token, expires_at: expires, user: { id, email } };
  }

  /** @param {string} email @param {string} password */
  async function signIn(email, password) {
    keep(asSession(await post('token?grant_type=password', { email, password })));
    onChange();
  }

  /**
   * @param {string} email
   * @param {string} password
   * @returns {Promise<boolean>} whether the user is signed in; else a mail is on its way
   */
  async function signUp(email, password) {
    const answer = await post('signup', { email, password });
    if (!answer.access_token) return false;
    keep(asSession(answer));
    onChange();
    return true;
  }

  /** Forget the user here, and tell Supabase, whether or not it listens. */
  async function signOut() {
    const token = session()?.access_token;
    keep(null);
    onChange();
    if (token) await revoke(token);
  }

  /** @param {string} token */
  async function revoke(token) {
    await post('logout?scope=local', {}, token).catch(() => {});
  }

  /** @returns {Promise<string | null>} */
  async function renewed() {
    const old = session();
    if (!old) return null;
    try {
      const body = { refresh_token: old.refresh_token };
      const next = asSession(await post('token?grant_type=refresh_token', body));
      if (session()?.refresh_token !== old.refresh_token) { // signed out meanwhile, or another in
        await revoke(next.access_token);
        return null;
      }
      keep(next);
      return next.access_token;
    } catch (error) {
      if (error instanceof VtonError && error.retryable) throw error;
      if (session()?.refresh_token === old.refresh_token) keep(null);
      return null;
    }
  }

  /**
   * The access token for one request: renewed before it expires, one renewal at a time.
   *
   * @param {{renew: boolean}} why
   * @returns {Promise<string | null>}
   */
  async function getToken({ renew }) {
    const now = session();
    if (!now) return null;
    if (!renew && now.expires_at - Date.now() / 1000 > MARGIN) return now.access_token;
    renewal ??= inTurn(async () => {
      const current = session(); // another tab may have renewed it meanwhile
      if (current?.user.id !== now.user.id) return null;
      return current.access_token === now.access_token ? renewed() : current.access_token;
    }).finally(() => (renewal = null));
    return renewal;
  }

  addEventListener('storage', (event) => {
    const id = (/** @type {string | null} */ text) => JSON.parse(text ?? 'null')?.user.id;
    if (event.key === STORED && id(event.oldValue) !== id(event.newValue)) onChange();
  });

  return {
    session,
    signIn,
    signUp,
    signOut,
    getToken,
    /** Forget a user whom Supabase has forgotten already. */
    drop() {
      keep(null);
      onChange();
    },
  };
}

/**
 * One tab at a time, where the browser can see to it.
 *
 * @param {() => Promise<string | null>} task
 */
async function inTurn(task) {
  return navigator.locks ? navigator.locks.request(STORED, task) : task();
}

/**
 * @param {number} status
 * @param {{msg?: string, error_description?: string, message?: string, error_code?: string}} answer
 */
function refused(status, answer) {
  const words = answer.msg ?? answer.error_description ?? answer.message;
  const ours = KNOWN[answer.error_code ?? ''];
  return new VtonError(ours ?? words ?? t('Sign-in did not work.'), {
    detail: answer.error_code ?? null,
    status,
    retryable: status >= 500 || status === 429,
  });
}
