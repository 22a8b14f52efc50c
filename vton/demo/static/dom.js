// @ts-check
/** Finding and making elements, and saying what went wrong in words. */

import { VtonError } from './vton-client.js';

/** What the fields of a request are called on the page. */
const FIELD_NAMES = { userImage: 'Photo', garmentId: 'Garment' };

/**
 * The element with an id, which must be of the given kind.
 *
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${kind.name} #${id} on this page`);
  return found;
}

/**
 * Make an element. Children that are strings become text, never markup.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties] DOM properties; names with a dash are attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) element.setAttribute(name, String(value));
    else Object.assign(element, { [name]: value });
  }
  element.append(...children);
  return element;
}

/**
 * Put a picture into an `<img>`, or take it away. An `<img>` whose picture cannot be shown
 * hides itself, so that the frame's own placeholder is seen.
 *
 * @param {HTMLImageElement} image
 * @param {string | null | undefined} url
 * @param {string} [alt]
 */
export function showPicture(image, url, alt = '') {
  image.alt = alt;
  image.hidden = !url;
  image.onerror = () => (image.hidden = true);
  if (!url) image.removeAttribute('src');
  else if (image.getAttribute('src') !== url) image.src = url;
}

/**
 * Say in a box what went wrong and what to do; offer `retry` only where it can help.
 *
 * @param {HTMLElement} box
 * @param {unknown} error null empties the box
 * @param {(() => void) | null} [retry]
 */
export function showProblem(box, error, retry = null) {
  box.replaceChildren();
  box.hidden = !error;
  if (!error) return;
  const problem = asProblem(error);
  box.append(make('p', {}, make('b', {}, problem.message)));
  if (problem.errors) box.append(fieldList(problem.errors));
  else if (problem.hint) box.append(make('p', {}, problem.hint));
  if (problem.status >= 500 && problem.requestId) {
    box.append(make('p', { className: 'note' }, `Request ${problem.requestId}`));
  }
  if (retry && problem.retryable) {
    box.append(make('button', { type: 'button', className: 'secondary', onclick: retry },
      'Try again'));
  }
}

/**
 * What the page can say about anything that was thrown.
 *
 * @param {unknown} error
 * @returns {VtonError}
 */
export function asProblem(error) {
  if (error instanceof VtonError) return error;
  console.error(error);
  const hint = 'Reload the page; what you have started goes on meanwhile.';
  return new VtonError('Something went wrong on this page.', { hint });
}

/** @param {Record<string, string[]>} errors */
function fieldList(errors) {
  const names = /** @type {Record<string, string>} */ (FIELD_NAMES);
  const items = Object.entries(errors).map(([field, reasons]) =>
    make('li', {}, `${names[field] ?? field}: ${reasons.join(' ')}`));
  return make('ul', {}, ...items);
}

/**
 * @param {string} timestamp
 * @returns {HTMLTimeElement} in the reader's own time zone and language
 */
export function timeOf(timestamp) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
  return make('time', { dateTime: timestamp }, format.format(new Date(timestamp)));
}

/**
 * Bring something into view and read it out, without a ride for those who do not want one.
 *
 * @param {HTMLElement} heading focusable; the screen moves to it
 */
export function goTo(heading) {
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  heading.focus({ preventScroll: true });
  const place = heading.closest('section') ?? heading;
  place.scrollIntoView({ block: 'start', behavior: still ? 'instant' : 'smooth' });
}
