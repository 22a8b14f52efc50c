// @ts-check
/** Saying what went wrong, in words. */

import { make } from './dom.js';
import { t } from './words.js';
import { VtonError } from './vton-client.js';

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
  if (problem.hint) box.append(make('p', {}, problem.hint));
  if (problem.status >= 500 && problem.requestId) {
    const request = t('Request {id}', { id: problem.requestId });
    box.append(make('p', { className: 'note' }, request));
  }
  if (retry && problem.retryable) {
    box.append(make('button', { type: 'button', className: 'secondary', onclick: retry },
      t('Try again')));
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
  const hint = t('Reload the page; what you have started goes on meanwhile.');
  return new VtonError(t('Something went wrong on this page.'), { hint });
}
