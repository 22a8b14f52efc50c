// @ts-check
/** The stage: one try-on, from queued to its picture beside the photo. */

import { byId, goTo, make, showPicture, timeOf } from './dom.js';
import { showProblem } from './problem.js';
import { t } from './words.js';

/** @typedef {import('./tryon.js').TryOn} TryOn */

const ORDER = ['queued', 'processing', 'success'];
/** @type {Record<import('./vton-client.js').Status, [string, string]>} */
const WORDS = {
  queued: [t('Getting ready'), t('Your try-on is queued.')],
  processing: [t('Being fitted'), t('Your try-on is being processed.')],
  success: [t('Here you are'), t('Your picture is ready.')],
  failed: [t('That did not work'), ''],
};

/**
 * @param {object} options
 * @param {(tryOn: TryOn) => void} options.onAgain
 * @param {(tryOn: TryOn) => void} options.onDelete
 * @param {(tryOn: TryOn) => void} options.onAnother
 */
export function createStage({ onAgain, onDelete, onAnother }) {
  const section = byId('stage', HTMLElement);
  const title = byId('stage-title', HTMLElement);
  const eyebrow = byId('stage-eyebrow', HTMLElement);
  const original = pictureIn('stage-original');
  const result = byId('after', HTMLImageElement);
  const before = byId('before', HTMLImageElement);
  const compare = byId('compare', HTMLElement);
  const cut = byId('compare-cut', HTMLInputElement);
  const fitting = byId('fitting', HTMLImageElement);
  const caption = byId('stage-caption', HTMLElement);
  const badge = byId('stage-badge', HTMLElement);
  const steps = byId('steps', HTMLElement);
  const elapsed = byId('elapsed', HTMLElement);
  const announcement = byId('announcement', HTMLElement);
  const problem = byId('stage-problem', HTMLElement);
  const again = byId('again', HTMLButtonElement);
  const download = byId('download', HTMLAnchorElement);
  const another = byId('another', HTMLButtonElement);
  const remove = byId('stage-delete', HTMLButtonElement);
  /** @type {TryOn | null} */
  let shown = null;
  let clock = 0;

  /** @param {TryOn} tryOn */
  function draw(tryOn) {
    const { status } = tryOn;
    const ended = status === 'success' || status === 'failed';
    const [heading, words] = WORDS[status];
    section.dataset.status = status;
    section.setAttribute('aria-busy', String(!ended));
    title.textContent = heading;
    eyebrow.textContent = [tryOn.garmentName, tryOn.garmentBrand].filter(Boolean).join(' · ');
    showPicture(original, tryOn.originalUrl, t('Your photo'));
    const name = tryOn.garmentName;
    showPicture(result, tryOn.resultUrl, t('You, wearing: {name}', { name }));
    const both = Boolean(tryOn.resultUrl && tryOn.originalUrl);
    showPicture(before, both ? tryOn.originalUrl : '');
    compare.hidden = !both || before.hidden;
    showPicture(fitting, ended ? '' : tryOn.garmentUrl);
    caption.textContent = tryOn.garmentName;
    badge.hidden = !tryOn.resultUrl;
    drawSteps(tryOn);
    showProblem(problem, tryOn.error);
    again.hidden = !tryOn.error?.retryable;
    another.hidden = !ended;
    another.textContent = status === 'success'
      ? t('Another garment, same photo')
      : t('Try something else');
    download.hidden = !tryOn.resultUrl;
    download.href = tryOn.resultUrl;
    download.download = `try-on-${tryOn.sessionId}.png`;
    remove.hidden = false;
    remove.textContent = ended ? t('Delete') : t('Cancel');
    if (tryOn.live && announcement.textContent !== words) announcement.textContent = words;
  }

  /** @param {TryOn} tryOn */
  function drawSteps(tryOn) {
    const { status, live, startedAt, error } = tryOn;
    const reached = ORDER.indexOf(status);
    steps.hidden = !live || status === 'failed';
    for (const step of /** @type {Iterable<HTMLElement>} */ (steps.children)) {
      const place = ORDER.indexOf(step.dataset.step ?? '');
      step.classList.toggle('done', place < reached || status === 'success');
      if (place === reached) step.setAttribute('aria-current', 'step');
      else step.removeAttribute('aria-current');
    }
    clearInterval(clock);
    elapsed.hidden = false;
    const tick = () => {
      const time = spent(Date.now() - startedAt);
      elapsed.textContent = status === 'success' ? t('It took {time}.', { time }) : time;
      const left = tryOn.readyAt ? tryOn.readyAt - Date.now() : 0;
      if (status !== 'success' && left > 0) {
        elapsed.textContent += ` · ${t('about {time} left', { time: spent(left) })}`;
      }
    };
    if (!live) elapsed.replaceChildren(timeOf(new Date(startedAt).toISOString()));
    else if (error || reached < 0) elapsed.hidden = true;
    else tick();
    if (live && !error && reached >= 0 && status !== 'success') clock = setInterval(tick, 1000);
  }

  again.addEventListener('click', () => shown && onAgain(shown));
  remove.addEventListener('click', () => shown && onDelete(shown));
  another.addEventListener('click', () => shown && onAnother(shown));
  before.addEventListener('error', () => (compare.hidden = true));
  cut.addEventListener('input', () => compareAt(cut.valueAsNumber));

  /** @param {number} percent how much of the photo covers the picture */
  function compareAt(percent) {
    cut.valueAsNumber = percent;
    result.style.clipPath = `inset(0 0 0 ${percent}%)`;
  }

  download.addEventListener('click', (event) => {
    event.preventDefault();
    save(download.href, download.download);
  });

  return {
    /** @returns {TryOn | null} */
    get shown() {
      return shown;
    },
    /**
     * Show a try-on and go there.
     *
     * @param {TryOn} tryOn
     */
    show(tryOn) {
      shown = tryOn;
      announcement.textContent = '';
      compareAt(0);
      section.hidden = false;
      draw(tryOn);
      goTo(title);
    },
    /**
     * Draw a try-on anew, if it is the one that is shown.
     *
     * @param {TryOn} tryOn
     */
    refresh(tryOn) {
      if (shown === tryOn) draw(tryOn);
    },
    /** @param {boolean} sending whether a new try-on is on its way to the service */
    setSending(sending) {
      again.disabled = sending;
    },
    hide() {
      shown = null;
      clearInterval(clock);
      section.hidden = true;
    },
  };
}

/** @param {string} id */
function pictureIn(id) {
  const image = byId(id, HTMLElement).querySelector('img');
  if (!image) throw new Error(`no picture in #${id}`);
  return image;
}

/** @param {number} milliseconds */
function spent(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return t('{seconds} s', { seconds });
  const minutes = Math.floor(seconds / 60);
  return t('{minutes} min {seconds} s', { minutes, seconds: String(seconds % 60).padStart(2, '0') });
}

/**
 * Save a picture under a name. Browsers ignore `download` on links to other hosts, so it is
 * fetched first; where that is not possible it opens in a tab of its own.
 *
 * @param {string} url
 * @param {string} name
 */
async function save(url, name) {
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`status ${response.status}`);
    const local = URL.createObjectURL(await response.blob());
    make('a', { href: local, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(local), 60_000);
  } catch {
    open(url, '_blank', 'noopener');
  }
}
