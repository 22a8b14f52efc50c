// @ts-check
/** The welcome: one click as the sample user, or email and password. */

import { byId } from './dom.js';
import { asProblem } from './problem.js';
import { t } from './words.js';

/**
 * @param {object} options
 * @param {ReturnType<typeof import('./auth.js').createAuth>} options.auth
 * @param {{publishableKey: string, demoEmail: string, demoPassword: string}} options.config
 */
export function createSignIn({ auth, config }) {
  const section = byId('welcome', HTMLElement);
  const form = byId('sign-in-form', HTMLFormElement);
  const sample = byId('continue-as-sample', HTMLButtonElement);
  const message = byId('sign-in-message', HTMLElement);

  byId('sign-in-missing', HTMLElement).hidden = Boolean(config.publishableKey);
  byId('sign-in-sample', HTMLElement).hidden = !(config.publishableKey && config.demoEmail);
  form.hidden = !config.publishableKey;

  /** @param {() => Promise<void>} task */
  async function attempt(task) {
    const buttons = section.querySelectorAll('button');
    buttons.forEach((button) => (button.disabled = true));
    message.textContent = '';
    try {
      await task();
    } catch (error) {
      const { message: words, hint } = asProblem(error);
      message.textContent = `${words} ${hint}`.trim();
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }

  sample.addEventListener('click', () =>
    attempt(() => auth.signIn(config.demoEmail, config.demoPassword)));

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const sent = new FormData(form);
    const [email, password] = [String(sent.get('email')), String(sent.get('password'))];
    const wanted = /** @type {HTMLButtonElement | null} */ (event.submitter)?.value;
    attempt(async () => {
      if (wanted !== 'sign-up') await auth.signIn(email, password);
      else if (!(await auth.signUp(email, password))) {
        message.textContent = t('Nearly there: open the link in the email we have sent you.');
      }
      form.reset();
    });
  });

  return {
    /** @param {string} [why] */
    show(why = '') {
      section.hidden = false;
      message.textContent = why;
    },
    hide() {
      section.hidden = true;
    },
  };
}
