// @ts-check
/** The garments: a grid to choose one from, filtered by category. */

import { byId, make } from './dom.js';
import { showProblem } from './problem.js';
import { t } from './words.js';

/** @typedef {import('./vton-client.js').Garment} Garment */

/**
 * @param {object} options
 * @param {import('./vton-client.js').Client} options.vton
 * @param {() => void} options.onChange
 */
export function createGarmentGrid({ vton, onChange }) {
  const grid = byId('garments', HTMLElement);
  const filter = byId('filter', HTMLElement);
  const problem = byId('garments-problem', HTMLElement);
  /** @type {Garment[]} */
  let garments = [];

  async function load() {
    showProblem(problem, null);
    grid.setAttribute('aria-busy', 'true');
    grid.replaceChildren(...Array.from({ length: 8 }, placeholder));
    try {
      garments = (await vton.listGarments()).items;
      grid.replaceChildren(...garments.map(card));
      if (!garments.length) grid.append(make('p', { className: 'note' }, t('No garments yet.')));
      offerCategories();
    } catch (error) {
      grid.replaceChildren();
      showProblem(problem, error, load);
    }
    grid.setAttribute('aria-busy', 'false');
  }

  function offerCategories() {
    const names = garments.map((garment) => garment.category).filter((name) => name !== null);
    const categories = [...new Set(names)];
    filter.hidden = categories.length < 2;
    filter.replaceChildren(...['', ...categories].map((category) =>
      make('button', {
        type: 'button',
        'aria-pressed': category === '',
        'data-category': category,
        onclick: () => narrow(category),
      }, category || t('All'))));
  }

  /** @param {string} category */
  function narrow(category) {
    for (const button of filter.querySelectorAll('button')) {
      button.setAttribute('aria-pressed', String(button.dataset.category === category));
    }
    for (const shown of /** @type {NodeListOf<HTMLElement>} */ (grid.querySelectorAll('label'))) {
      shown.hidden = category !== '' && shown.dataset.category !== category;
      const input = shown.querySelector('input');
      if (shown.hidden && input?.checked) input.checked = false; // nobody orders what is not seen
    }
    onChange();
  }

  grid.addEventListener('change', onChange);

  return {
    load,
    /** @returns {Garment | undefined} */
    get selected() {
      const checked = grid.querySelector('input:checked');
      const id = checked instanceof HTMLInputElement ? checked.value : '';
      return garments.find((garment) => garment.id === id);
    },
    focus() {
      const first = grid.querySelector('input:checked') ?? grid.querySelector('label:not([hidden]) input');
      if (first instanceof HTMLElement) first.focus();
    },
  };
}

/** @param {Garment} garment */
function card(garment) {
  const image = make('img', { alt: '', loading: 'lazy', width: 300, height: 375 });
  const picture = garment.thumbnailUrl ?? garment.imageUrl;
  if (picture) image.src = picture;
  return make('label', { className: 'garment', 'data-category': garment.category ?? '' },
    make('input', { className: 'hidden', type: 'radio', name: 'garment', value: garment.id }),
    make('span', { className: 'frame' }, image),
    make('span', { className: 'name' }, garment.name),
    make('span', { className: 'brand-name' }, garment.brand ?? ''));
}

function placeholder() {
  return make('div', { className: 'garment waiting', 'aria-hidden': 'true' },
    make('span', { className: 'frame' }));
}
