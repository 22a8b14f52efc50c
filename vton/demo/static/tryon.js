// @ts-check
/** One try-on as the page knows it, and the note that lets a running one survive a reload. */

import { t } from './words.js';
import { VtonError } from './vton-client.js';

const STORED = 'vton.running';

/**
 * @typedef {object} TryOn
 * @property {string} sessionId
 * @property {import('./vton-client.js').Status} status
 * @property {string | null} garmentId
 * @property {string} garmentName
 * @property {string} garmentBrand
 * @property {string} garmentUrl empty where there is none
 * @property {string} originalUrl empty where the photo cannot be shown
 * @property {string} resultUrl empty until there is a picture
 * @property {number} startedAt in milliseconds since 1970
 * @property {boolean} live whether it was started in this visit; else it is from the history
 * @property {import('./vton-client.js').Photo} photo the photo, or the try-on that has it
 * @property {number | null} readyAt when the picture should be there, in milliseconds since 1970
 * @property {import('./vton-client.js').VtonError | null} error why it failed, or was lost from sight
 */

/**
 * @param {import('./vton-client.js').HistoryItem} item
 * @returns {TryOn}
 */
export function fromHistory(item) {
  const { error } = item;
  const failed = item.status === 'failed';
  return {
    sessionId: item.sessionId,
    status: item.status,
    garmentId: item.garment_id,
    garmentName: nameOf(item),
    garmentBrand: item.garment?.brand ?? '',
    garmentUrl: item.garment?.image_url ?? '',
    originalUrl: item.original_user_image_url ?? '',
    resultUrl: item.resultImageUrl ?? '',
    startedAt: Date.parse(item.created_at),
    live: false,
    photo: { photoOf: item.sessionId },
    readyAt: null,
    error: failed ? new VtonError(item.error_message ?? '', { ...error }) : null,
  };
}

/**
 * A try-on under way that this page did not start, or has forgotten.
 *
 * @param {import('./vton-client.js').HistoryItem} item
 * @returns {TryOn}
 */
export function underWay(item) {
  return { ...fromHistory(item), live: true };
}

/** @param {import('./vton-client.js').HistoryItem} item */
export function nameOf(item) {
  return item.garment?.name ?? t('A garment of the past');
}

/**
 * Note a running try-on, so that it is found after a reload.
 *
 * @param {string} userId
 * @param {TryOn} tryOn
 * @param {string} smallCopy of the photo, as a data URL
 */
export function remember(userId, tryOn, smallCopy) {
  const { originalUrl, photo, error, readyAt, ...kept } = tryOn;
  const note = { userId, tryOn: { ...kept, originalUrl: smallCopy } };
  try {
    localStorage.setItem(STORED, JSON.stringify(note));
  } catch {
    forget(); // no room: it is found among the unfinished ones
  }
}

/**
 * @param {string} userId
 * @returns {TryOn | null} the running try-on that was noted for this user
 */
export function recall(userId) {
  try {
    const note = JSON.parse(localStorage.getItem(STORED) ?? 'null');
    if (note?.userId !== userId) return null;
    const photo = { photoOf: note.tryOn.sessionId };
    return { ...note.tryOn, photo, readyAt: null, error: null };
  } catch {
    return null;
  }
}

/**
 * Take the note away again.
 *
 * @param {string} [sessionId] of this try-on alone: another tab may have noted its own
 */
export function forget(sessionId) {
  try {
    const note = JSON.parse(localStorage.getItem(STORED) ?? 'null');
    if (!sessionId || note?.tryOn.sessionId === sessionId) localStorage.removeItem(STORED);
  } catch {
    // A browser that keeps nothing has nothing to forget.
  }
}
