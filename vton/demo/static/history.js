// @ts-check
/** What the user has tried on before, newest first. */

import { byId, make, timeOf } from './dom.js';
import { showProblem } from './problem.js';
import { t } from './words.js';
import { nameOf } from './tryon.js';

/** @typedef {import('./vton-client.js').HistoryItem} HistoryItem */

const PAGE = 12;
/** Signed URLs are good for half an hour at least: read the list again before. */
const FRESH_MS = 20 * 60_000;

/**
 * @param {object} options
 * @param {import('./vton-client.js').Client} options.vton
 * @param {(item: HistoryItem) => void} options.onOpen
 * @param {(item: HistoryItem) => void} options.onDelete
 * @param {(error: unknown) => boolean} options.isSignedOut
 */
export function createHistory({ vton, onOpen, onDelete, isSignedOut }) {
  const section = byId('history', HTMLElement);
  const title = byId('history-title', HTMLElement);
  const cards = byId('cards', HTMLElement);
  const empty = byId('history-empty', HTMLElement);
  const problem = byId('history-problem', HTMLElement);
  const more = byId('more', HTMLButtonElement);
  /** @type {HistoryItem[]} */
  let items = [];
  /** @type {string | null} */
  let cursor = null;
  let reading = 0;
  let visit = 0;
  let readAt = 0;
  let renewedAt = 0;
  let expired = false;

  /** @param {boolean} anew */
  async function load(anew) {
    const mine = ++reading;
    showProblem(problem, null);
    more.disabled = true;
    try {
      const page = await vton.listHistory({ limit: PAGE, cursor: anew ? null : cursor });
      if (mine !== reading) return;
      const before = anew ? 0 : items.length;
      items = anew ? page.items : [...items, ...page.items];
      cursor = page.nextCursor;
      readAt = Date.now();
      draw();
      if (before) focusCard(before);
    } catch (error) {
      if (mine === reading && !isSignedOut(error)) showProblem(problem, error, () => load(anew));
    } finally {
      more.disabled = false;
    }
  }

  function draw() {
    const known = new Map([...cards.children].map((card) => [card.id, card]));
    cards.replaceChildren(...items.map((item) => {
      const old = known.get(cardId(item));
      return old && !expired ? old : card(item);
    }));
    expired = false;
    empty.hidden = items.length > 0;
    more.hidden = cursor === null;
  }

  /** Signed URLs expire: then read the list again, but once a minute at most. */
  function renew() {
    if (Date.now() - renewedAt < 60_000) return;
    renewedAt = Date.now();
    expired = true;
    load(true);
  }

  /** @param {HistoryItem} item */
  function card(item) {
    const failed = item.status === 'failed';
    const name = nameOf(item);
    const picture = item.thumbnailUrl ?? item.resultImageUrl ?? item.original_user_image_url;
    const image = make('img', { alt: '', loading: 'lazy', width: 240, height: 320, onerror: renew });
    if (picture) image.src = picture;
    return make('li', { id: cardId(item), className: failed ? 'failed' : '' },
      make('button', { type: 'button', className: 'open', onclick: () => open(item) },
        make('span', { className: 'frame' }, image),
        make('span', { className: 'name' }, name),
        failed ? make('span', { className: 'tag' }, t('Did not work')) : '',
        timeOf(item.created_at)),
      make('button', {
        type: 'button',
        className: 'remove',
        title: t('Delete'),
        'aria-label': t('Delete try-on: {name}', { name }),
        onclick: () => onDelete(item),
      }, '×'));
  }

  /** Show an item, with the URLs that were signed last. @param {HistoryItem} item */
  async function open(item) {
    const mine = visit;
    if (Date.now() - readAt > FRESH_MS) await load(true);
    if (mine === visit) onOpen(items.find(({ sessionId }) => sessionId === item.sessionId) ?? item);
  }

  /** @param {number} place */
  function focusCard(place) {
    const next = cards.children[place] ?? cards.children[place - 1];
    (/** @type {HTMLElement | null} */ (next?.querySelector('button')) ?? title).focus();
  }

  more.addEventListener('click', () => load(false));

  return {
    /** Read the newest ones again. */
    async reload() {
      section.hidden = false;
      await load(true);
    },
    /** @param {string} sessionId */
    find(sessionId) {
      return items.find((item) => item.sessionId === sessionId);
    },
    /**
     * Take a try-on off the list.
     *
     * @param {string} sessionId
     * @returns {boolean} whether it was on it
     */
    drop(sessionId) {
      const place = items.findIndex((item) => item.sessionId === sessionId);
      if (place < 0) return false;
      items.splice(place, 1);
      draw();
      focusCard(place);
      return true;
    },
    clear() {
      reading += 1;
      visit += 1;
      items = [];
      cursor = null;
      cards.replaceChildren();
      section.hidden = true;
    },
  };
}

/** @param {HistoryItem} item */
function cardId(item) {
  return `try-on-${item.sessionId}`;
}
