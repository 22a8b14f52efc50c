// @ts-check
/** The page: who is signed in, what is chosen, and which part shows what. */

import { createAuth } from './auth.js';
import { createConfirm } from './confirm.js';
import { byId, goTo } from './dom.js';
import { createGarmentGrid } from './garments.js';
import { createHistory } from './history.js';
import { createPhotoPicker } from './photo.js';
import { showProblem } from './problem.js';
import { createRunner } from './runner.js';
import { createSignIn } from './signin.js';
import { createStage } from './stage.js';
import { forget, fromHistory, recall, underWay } from './tryon.js';
import { VtonError, createClient } from './vton-client.js';
import { config, t } from './words.js';

/** @typedef {import('./tryon.js').TryOn} TryOn */

const picker = byId('picker', HTMLFormElement);
const go = byId('go', HTMLButtonElement);
const goProblem = byId('go-problem', HTMLElement);
const cancel = byId('cancel', HTMLButtonElement);
const progress = byId('sent', HTMLProgressElement);
const greeting = byId('greeting', HTMLElement);
const summary = byId('summary', HTMLElement);

const auth = createAuth({ ...config, onChange: drawUser });
const { language, words } = config;
const vton = createClient({ getToken: auth.getToken, language, words });
const ask = createConfirm();
const signIn = createSignIn({ auth, config });
const photos = createPhotoPicker({ onChange: drawChoice });
const garments = createGarmentGrid({ vton, onChange: drawChoice });
const stage = createStage({ onAgain: repeat, onDelete: askToDelete, onAnother: tryAnother });
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

/** Whether the page has been drawn: who signs in from then on is taken to what they can do now. */
let drawn = false;
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
  greeting.hidden = !user;
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
  else takeUp(user.id);
  if (drawn && !left) greeting.focus();
}

/**
 * Follow what another tab or device has left under way.
 *
 * @param {string} userId
 */
async function takeUp(userId) {
  try {
    const [item] = await vton.unfinished();
    const free = userId === shownId && !runner.running && runner.sent === null;
    if (item && free) runner.follow(underWay(item));
  } catch (error) {
    isSignedOut(error); // else it is found with the next visit, or in the history when it ends
  }
}

/**
 * Whether an error means that the user has to sign in again; then the page says so.
 *
 * @param {unknown} error
 */
function isSignedOut(error) {
  if (!(error instanceof VtonError) || error.status !== 401) return false;
  auth.drop();
  signIn.show(`${t('You have been signed out.')} ${t('Please sign in again.')}`);
  return true;
}

function drawChoice() {
  showProblem(goProblem, null);
  summary.textContent = garments.selected?.name ?? '';
  const { sent } = runner;
  go.setAttribute('aria-disabled', String(sent !== null)); // disabled, it would lose the focus
  go.textContent = t('Try it on');
  if (runner.running) go.textContent = t('See progress');
  if (sent !== null) go.textContent = t('Sending your photo…');
  progress.hidden = sent === null;
  progress.value = sent ?? 0;
  cancel.hidden = sent === null;
  stage.setSending(sent !== null);
}

/** @param {TryOn} tryOn */
function tryAnother({ sessionId, status, originalUrl }) {
  if (status === 'success' && originalUrl) photos.takeFrom(sessionId, originalUrl);
  chooseAnother();
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
  if (!garmentId) return chooseAnother();
  start({ photo: tryOn.photo, originalUrl, garmentId, garmentName, garmentBrand, garmentUrl });
}

/** @param {TryOn} tryOn */
function askToDelete(tryOn) {
  const task = () => remove(tryOn.sessionId);
  const ended = tryOn.status === 'success' || tryOn.status === 'failed';
  ask(ended
    ? { title: t('Delete this try-on?'), text: t('The photo and the picture will be gone for good.'),
        yes: t('Delete'), no: t('Keep it'), task }
    : { title: t('Cancel this try-on?'), text: t('It will be stopped, and your photo deleted.'),
        yes: t('Cancel try-on'), no: t('Keep waiting'), task });
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
    forget(sessionId);
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
  const missing = [!photo && t('Please choose a photo.'), !garment && t('Please choose a garment.')];
  (photo ? garments : photos).focus();
  showProblem(goProblem, new VtonError(missing.filter(Boolean).join(' ')));
});

byId('sign-out', HTMLButtonElement).addEventListener('click', () => auth.signOut());

cancel.addEventListener('click', async () => {
  try {
    await runner.cancel();
  } catch (error) {
    if (!isSignedOut(error)) showProblem(goProblem, error, () => cancel.click());
  }
});

const offline = byId('offline', HTMLElement);
const drawConnection = () => (offline.hidden = navigator.onLine);
addEventListener('online', drawConnection);
addEventListener('offline', drawConnection);

garments.load();
drawUser();
drawConnection();
drawn = true;
