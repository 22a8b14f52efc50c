// @ts-check
/** What the page was told by the server, and its words in the reader's language. */

import { byId } from './dom.js';

/**
 * @type {{language: string, words: Record<string, string>, supabaseUrl: string,
 *   publishableKey: string, demoEmail: string, demoPassword: string}}
 */
export const config = JSON.parse(byId('config', HTMLScriptElement).textContent ?? '{}');

/**
 * A sentence in the reader's language.
 *
 * @param {string} text in English
 * @param {Record<string, string | number>} [values] what stands in it in braces
 */
export function t(text, values = {}) {
  const found = config.words[text] ?? text;
  return found.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}
