// @ts-check
/** The page: who is signed in, what is chosen, and which part shows what. */

import { createAuth } from './auth.js';
import { createConfirm } from './confirm.js';
import { byId, goTo, showProblem } from './dom.js';
import { createGarmentGrid } from './garments.js';
import { createHistory } from './history.js';
import { createPhotoPicker } from './photo.js';
import { createRunner } from './runner.js';
import { createSignIn } from './signin.js';
import { createStage } from './stage.js';
import { forget, fromHistory, recall } from './tryon.js';
import { VtonError, createClient } from './vton-client.js';

/** @typedef {import('./tryon.js').TryOn} TryOn */

const config = JSON.parse(byId('config', HTMLScriptElement).textContent ?? '{}');
const picker = byId('picker', HTMLFormElement);
const go = byId('go', HTMLButtonElement);
const goProblem = byId('go-problem', HTMLElement);
const summary = byId('summary', HTMLElement);

const auth = createAuth({ ...config, onChange: drawUser });
const vton = createClient({ getToken: auth.getToken });
const ask = createConfirm();
const signIn = createSignIn({ auth, config });
const photos = createPhotoPicker({ onChange: drawChoice });
const garments = createGarmentGrid({ vton, onChange: drawChoice });
const stage = createStage({ onAgain: repeat, onDelete: askToDelete, onAnother: chooseAnother });
const history = createHistory({
  vton,
  onOpen: (item) => stage.show(fromHistory(item)),
  onDelete: (item) => askToDelete(fromHistory(item)),
  isSignedOut,
});
const runner = createRunner({
  vton,
  onStart: stage.show,
  onProgress: stage.refresh,
  onEnd(tryOn) {
    stage.refresh(tryOn);
    history.reload();
  },
  onChange: drawChoice,
  isSignedOut,
});

/** Whose the photo and the notes of this page are. */
let shownId = '';

/**
 * Show what there is for who is signed in; take up a try-on that a reload left behind. What was
 * somebody else's goes, however they were signed out.
 */
function drawUser() {
  const user = auth.session()?.user;
  const left = user ? recall(user.id) : null;
  if (!left) forget();
  if (shownId && user?.id !== shownId) photos.clear();
  shownId = user?.id ?? '';
  runner.stop();
  stage.hide();
  history.clear();
  byId('account', HTMLElement).hidden = !user;
  byId('who', HTMLElement).textContent = user?.email ?? '';
  byId('photo-section', HTMLElement).hidden = !user;
  byId('go-section', HTMLElement).hidden = !user;
  picker.classList.toggle('browsing', !user);
  picker.hidden = false;
  drawChoice();
  if (!user) return signIn.show();
  signIn.hide();
  history.reload();
  if (left) runner.follow(left);
}

/**
 * Whether an error means that the user has to sign in again; then the page says so.
 *
 * @param {unknown} error
 */
function isSignedOut(error) {
  if (!(error instanceof VtonError) || error.status !== 401) return false;
  auth.drop();
  signIn.show('You have been signed out. Please sign in again.');
  return true;
}

function drawChoice() {
  showProblem(goProblem, null);
  summary.textContent = garments.selected?.name ?? '';
  go.disabled = runner.sending;
  go.textContent = 'Try it on';
  if (runner.running) go.textContent = 'See progress';
  if (runner.sending) go.textContent = 'Sending your photo…';
  stage.setSending(runner.sending);
}

function chooseAnother() {
  goTo(byId('garments-title', HTMLElement));
  garments.focus();
}

/** @param {import('./runner.js').Wish} wish */
async function start(wish) {
  const user = auth.session()?.user;
  if (!user) return;
  try {
    await runner.start(user.id, wish);
  } catch (error) {
    if (isSignedOut(error)) return;
    showProblem(goProblem, error, () => start(wish));
    goProblem.scrollIntoView({ block: 'nearest' });
  }
}

/**
 * Once more: follow a try-on that was lost from sight, or start a failed one anew.
 *
 * @param {TryOn} tryOn
 */
async function repeat(tryOn) {
  if (runner.running) return stage.show(runner.running);
  if (tryOn.status !== 'failed') return runner.follow(tryOn);
  const { garmentId, garmentName, garmentBrand, garmentUrl } = tryOn;
  const originalUrl = history.find(tryOn.sessionId)?.original_user_image_url ?? tryOn.originalUrl;
  const photo = tryOn.photo ?? (await photoAt(originalUrl));
  if (!photo || !garmentId) return chooseAnother();
  start({ photo, originalUrl, garmentId, garmentName, garmentBrand, garmentUrl });
}

/** @param {string} url */
async function photoAt(url) {
  try {
    const response = await fetch(url);
    return response.ok ? await response.blob() : null;
  } catch {
    return null;
  }
}

/** @param {TryOn} tryOn */
function askToDelete(tryOn) {
  const task = () => remove(tryOn.sessionId);
  const ended = tryOn.status === 'success' || tryOn.status === 'failed';
  ask(ended
    ? { title: 'Delete this try-on?', text: 'The photo and the picture will be gone for good.',
        yes: 'Delete', no: 'Keep it', task }
    : { title: 'Cancel this try-on?', text: 'It will be stopped, and your photo deleted.',
        yes: 'Cancel try-on', no: 'Keep waiting', task });
}

/** @param {string} sessionId */
async function remove(sessionId) {
  try {
    await vton.deleteSession(sessionId);
  } catch (error) {
    if (isSignedOut(error)) return;
    if (!(error instanceof VtonError) || error.status !== 404) throw error; // else: gone already
  }
  if (runner.running?.sessionId === sessionId) {
    runner.stop();
    forget();
    drawChoice();
  }
  if (stage.shown?.sessionId === sessionId) stage.hide();
  if (!history.drop(sessionId)) goTo(byId('garments-title', HTMLElement));
}

picker.addEventListener('submit', (event) => {
  event.preventDefault();
  if (runner.running) return stage.show(runner.running);
  const [photo, garment] = [photos.photo, garments.selected];
  if (photo && garment) {
    start({
      photo,
      originalUrl: photos.url,
      garmentId: garment.id,
      garmentName: garment.name,
      garmentBrand: garment.brand ?? '',
      garmentUrl: garment.imageUrl ?? '',
    });
    return;
  }
  const missing = photo ? 'a garment' : garment ? 'a photo' : 'a photo and a garment';
  (photo ? garments : photos).focus();
  showProblem(goProblem, new VtonError(`Please choose ${missing} first.`));
});

byId('sign-out', HTMLButtonElement).addEventListener('click', () => auth.signOut());

garments.load();
drawUser();
