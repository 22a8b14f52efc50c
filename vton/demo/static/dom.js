// @ts-check
/** Finding and making elements. */

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
  image.onerror = () => (image.hidden = true);
  if (url && image.getAttribute('src') === url) return; // one that cannot be shown stays hidden
  image.hidden = !url;
  if (url) image.src = url;
  else image.removeAttribute('src');
}

/**
 * @param {string} timestamp
 * @returns {HTMLTimeElement} in the reader's time zone and the page's language
 */
export function timeOf(timestamp) {
  const { lang } = document.documentElement;
  const format = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'short' });
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
