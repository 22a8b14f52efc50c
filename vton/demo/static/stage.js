// @ts-check
/** The stage: one try-on, from queued to its picture beside the photo. */

import { byId, goTo, make, showPicture, showProblem, timeOf } from './dom.js';

/** @typedef {import('./tryon.js').TryOn} TryOn */

const ORDER = ['queued', 'processing', 'success'];
const WORDS = {
  queued: ['Getting ready', 'Your try-on is queued.'],
  processing: ['Being fitted', 'Your try-on is being processed.'],
  success: ['Here you are', 'Your picture is ready.'],
  failed: ['That did not work', ''],
};

/**
 * @param {object} options
 * @param {(tryOn: TryOn) => void} options.onAgain
 * @param {(tryOn: TryOn) => void} options.onDelete
 * @param {() => void} options.onAnother
 */
export function createStage({ onAgain, onDelete, onAnother }) {
  const section = byId('stage', HTMLElement);
  const title = byId('stage-title', HTMLElement);
  const eyebrow = byId('stage-eyebrow', HTMLElement);
  const original = pictureIn('stage-original');
  const result = pictureIn('stage-result');
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
    showPicture(original, tryOn.originalUrl, 'Your photo');
    showPicture(result, tryOn.resultUrl, `You, wearing: ${tryOn.garmentName}`);
    showPicture(fitting, ended ? '' : tryOn.garmentUrl);
    caption.textContent = tryOn.garmentName;
    badge.hidden = !tryOn.resultUrl;
    drawSteps(tryOn);
    showProblem(problem, tryOn.error);
    again.hidden = !tryOn.error?.retryable;
    another.hidden = !ended;
    download.hidden = !tryOn.resultUrl;
    download.href = tryOn.resultUrl;
    download.download = `try-on-${tryOn.sessionId}.png`;
    remove.hidden = false;
    remove.textContent = ended ? 'Delete' : 'Cancel';
    if (tryOn.live && announcement.textContent !== words) announcement.textContent = words;
  }

  /** @param {TryOn} tryOn */
  function drawSteps({ status, live, startedAt, error }) {
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
      elapsed.textContent = status === 'success' ? `It took ${time}.` : time;
    };
    if (!live) elapsed.replaceChildren(timeOf(new Date(startedAt).toISOString()));
    else if (error || reached < 0) elapsed.hidden = true;
    else tick();
    if (live && !error && reached >= 0 && status !== 'success') clock = setInterval(tick, 1000);
  }

  again.addEventListener('click', () => shown && onAgain(shown));
  remove.addEventListener('click', () => shown && onDelete(shown));
  another.addEventListener('click', onAnother);
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
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
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
