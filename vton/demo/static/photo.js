// @ts-check
/** Choosing a photo: from the device, dropped, or one of the samples. */

import { byId, showPicture } from './dom.js';
import { showProblem } from './problem.js';
import { t } from './words.js';
import { VtonError } from './vton-client.js';

/** The height of the small copy that survives a reload, in pixels. */
const SMALL = 480;

/** @param {{onChange: () => void}} options */
export function createPhotoPicker({ onChange }) {
  const input = byId('photo', HTMLInputElement);
  const drop = byId('drop', HTMLLabelElement);
  const preview = byId('preview', HTMLImageElement);
  const invite = byId('invite', HTMLElement);
  const chosen = byId('chosen', HTMLElement);
  const samples = /** @type {HTMLButtonElement[]} */ ([
    ...document.querySelectorAll('[data-photo]'),
  ]);
  const problem = byId('photo-problem', HTMLElement);
  /** @type {import('./vton-client.js').Photo | null} */
  let photo = null;
  let url = '';

  /** @param {File | null | undefined} file @param {HTMLButtonElement} [sample] */
  async function take(file, sample) {
    if (!file) return;
    const usable = await isPicture(file);
    showProblem(problem, usable ? null : new VtonError(
      t('The file is not a picture that can be used.'),
      { code: 'photo_unsupported', hint: t('Choose a JPEG, PNG, WebP or HEIC photo.') }));
    // The URL is kept: the stage may show it long after another photo was chosen.
    if (usable) show(file, URL.createObjectURL(file), file.name, sample);
  }

  /**
   * @param {import('./vton-client.js').Photo} next
   * @param {string} address shows it
   * @param {string} name
   * @param {HTMLButtonElement} [sample]
   */
  function show(next, address, name, sample) {
    [photo, url] = [next, address];
    showPicture(preview, url, t('The photo you have chosen'));
    invite.hidden = true;
    chosen.hidden = false;
    chosen.textContent = name;
    for (const button of samples) button.setAttribute('aria-pressed', String(button === sample));
    onChange();
  }

  // Not a picture, or of a kind that this browser cannot show; the service will say.
  preview.addEventListener('error', () => (invite.hidden = false));

  input.addEventListener('change', () => {
    take(input.files?.[0]);
    input.value = ''; // so that the same file can be chosen again
  });

  drop.addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    take(event.dataTransfer?.files[0]);
  });
  // A photo dropped beside the target must not replace the page.
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => event.preventDefault());

  for (const button of samples) {
    button.addEventListener('click', async () => {
      const address = button.dataset.photo ?? '';
      const response = await fetch(address);
      const name = address.split('/').pop() ?? 'sample.jpg';
      const options = { type: 'image/jpeg', lastModified: 0 }; // the same file, however often it is chosen
      take(new File([await response.blob()], name, options), button);
    });
  }

  return {
    /**
     * Take the photo of another try-on.
     *
     * @param {string} sessionId
     * @param {string} address shows it
     */
    takeFrom(sessionId, address) {
      showProblem(problem, null);
      show({ photoOf: sessionId }, address, t('The same photo'));
    },
    /** @returns {import('./vton-client.js').Photo | null} */
    get photo() {
      return photo;
    },
    get url() {
      return url;
    },
    focus() {
      input.focus();
    },
    /** Forget the photo: it is somebody else's. */
    clear() {
      if (url.startsWith('blob:')) URL.revokeObjectURL(url);
      showProblem(problem, null);
      photo = null;
      url = '';
      showPicture(preview, '');
      invite.hidden = false;
      chosen.hidden = true;
      chosen.textContent = '';
      for (const button of samples) button.setAttribute('aria-pressed', 'false');
    },
  };
}

/**
 * Whether a file begins as a picture does that the service takes, whatever its name says.
 *
 * @param {Blob} file
 */
async function isPicture(file) {
  const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  const heif = start.slice(4, 8) === 'ftyp' && /^(hei|hev|mif|msf)/.test(start.slice(8));
  return heif || start.startsWith('\xff\xd8\xff') || start.startsWith('\x89PNG')
    || (start.startsWith('RIFF') && start.endsWith('WEBP'));
}

/**
 * A small copy as a data URL, or an empty string where the browser cannot read the photo.
 *
 * @param {Blob} photo
 * @returns {Promise<string>}
 */
export async function smallCopy(photo) {
  try {
    const bitmap = await createImageBitmap(photo);
    const scale = Math.min(1, SMALL / bitmap.height);
    const canvas = document.createElement('canvas');
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return canvas.toDataURL('image/jpeg', 0.8);
  } catch {
    return '';
  }
}
