// @ts-check
/** One dialog that asks before something is deleted, and says when that fails. */

import { byId } from './dom.js';
import { showProblem } from './problem.js';

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} yes
 * @property {string} no
 * @property {() => Promise<void>} task done on yes; the dialog closes when it is through
 */

export function createConfirm() {
  const dialog = byId('confirm', HTMLDialogElement);
  const title = byId('confirm-title', HTMLElement);
  const text = byId('confirm-text', HTMLElement);
  const problem = byId('confirm-problem', HTMLElement);
  const yes = byId('confirm-yes', HTMLButtonElement);
  const no = byId('confirm-no', HTMLButtonElement);
  /** @type {() => Promise<void>} */
  let task = async () => {};

  yes.addEventListener('click', async (event) => {
    event.preventDefault();
    showProblem(problem, null);
    yes.disabled = true;
    const mine = task;
    try {
      await mine();
      if (mine === task) dialog.close();
    } catch (error) {
      if (mine === task) showProblem(problem, error);
    } finally {
      if (mine === task) yes.disabled = false;
    }
  });

  /** @param {Question} question */
  return function ask(question) {
    task = question.task;
    title.textContent = question.title;
    text.textContent = question.text;
    yes.textContent = question.yes;
    no.textContent = question.no;
    showProblem(problem, null);
    yes.disabled = false;
    dialog.showModal();
  };
}
