// @ts-check
/** Choosing a photo: from the device, dropped, or one of the samples. */

import { byId, showPicture } from './dom.js';
import { VtonError } from './vton-client.js';

const MAX_BYTES = 10 * 1024 * 1024;
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
  /** @type {File | null} */
  let photo = null;
  let url = '';

  /** @param {File | null | undefined} file @param {HTMLButtonElement} [sample] */
  function take(file, sample) {
    if (!file) return;
    photo = file;
    url = URL.createObjectURL(file); // kept: the stage may show it long after another was chosen
    showPicture(preview, url, 'The photo you have chosen');
    invite.hidden = true;
    chosen.hidden = false;
    chosen.textContent = file.name;
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
      take(new File([await response.blob()], name, { type: 'image/jpeg' }), button);
    });
  }

  return {
    /** @returns {File | null} */
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
      if (url) URL.revokeObjectURL(url);
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
 * Refuse what the service would refuse after a long upload.
 *
 * @param {Blob} photo
 */
export function checkSize(photo) {
  if (photo.size <= MAX_BYTES) return;
  throw new VtonError('The photo is larger than 10 MB.', {
    code: 'photo_too_large',
    hint: 'Choose a smaller one; 2048 pixels a side are plenty.',
  });
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
