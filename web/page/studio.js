// The studio: pictures in, cutouts out. Here its parts are put together.

import { getJson, Problem } from "./api.js";
import { button, bytes, count, find, icon, make, toast } from "./dom.js";
import { follow } from "./events.js";
import { showState } from "./header.js";
import { Background } from "./studio/background.js";
import { forgetJobs, remember, remembered } from "./studio/history.js";
import { takeIn } from "./studio/intake.js";
import { Jobs } from "./studio/jobs.js";
import { Options } from "./studio/options.js";
import { isOver, picture as newPicture, Pictures } from "./studio/pictures.js";
import { Saving } from "./studio/saving.js";
import { Shelf, showTroubles, tally } from "./studio/shelf.js";
import { forget, previewOf, shrunk } from "./studio/thumbs.js";
import { Uploads } from "./studio/upload.js";
import { Viewer } from "./studio/viewer.js";

const TITLE = document.title;
const PLACES_MS = 2000;
// Longer than "Undo" is offered.
const FORGET_MS = 15_000;
// Faults of the file itself: the same file is refused again.
const HOPELESS = /empty|not_a|unsupported|header|pixels|large|changed|_url|_off/;

const main = find("#main");
const pictures = new Pictures();
let limits = null;

const acts = {
  onShow: show, onRemove: remove, onAgain: again, onCancel: cancel,
  mayAgain: ({ state, error }) => /cancelled|failed|refused/.test(state) && !HOPELESS.test(error?.code),
};
const jobs = new Jobs(pictures, gone);
const uploads = new Uploads(pictures, {
  onTaken: (picture, answer) => jobs.taken(picture, answer), onTooLate: (id) => told(() => jobs.stop(id)), onHold: showHold,
});
const shelf = new Shelf(pictures, acts);
const viewer = new Viewer(acts);
const background = new Background((backdrop) => viewer.dress(backdrop));
const saving = new Saving(() => background.asked(), () => shelf.shown);
const options = new Options(offerAgain);
const redo = Object.assign(button("", doAgain, icon("retry"), "Do this one again"), { id: "redo", hidden: true });

// In

function addFiles(files) {
  const chosen = options.chosen();
  const fresh = files.map((file) => newPicture(file.name || "pasted.png", { file }, chosen));
  add(fresh);
  for (const picture of fresh) {
    shrink(picture);
    if (limits && picture.file.size > limits.max_upload_bytes) {
      const message = `The file has ${bytes(picture.file.size)}; at most ${bytes(limits.max_upload_bytes)} are accepted. Send a smaller version of it.`;
      pictures.change(picture, { state: "refused", error: { message, code: "file_too_large" } });
    } else {
      uploads.send(picture);
    }
  }
}

function addAddresses(addresses) {
  const fresh = addresses.map((address) => newPicture(address.split(/[?#]/)[0].split("/").findLast(Boolean), { address }, options.chosen()));
  add(fresh);
  for (const picture of fresh) uploads.send(picture);
}

/** A small copy, of its own for each picture: it goes with it. */
async function shrink(picture) {
  const thumb = await shrunk(picture.file);
  if (picture.file) pictures.change(picture, { thumb });
  else forget(thumb);
}

function add(fresh, at) {
  pictures.add(fresh, at);
  tell(`${count(fresh.length, "picture")} added.`);
  show(fresh[0]);
}

// What a person does with one

function show(picture) {
  main.className = picture ? "studio work" : "studio empty";
  shelf.show(picture);
  viewer.show(picture);
  saving.update();
  offerAgain();
}

function remove(picture) {
  if (!picture) return;
  if (!isOver(picture)) return cancel(picture);
  const all = pictures.all, here = all.indexOf(picture);
  takeOff([picture], all[here + 1] ?? all[here - 1] ?? null);
}

/** Off the shelf. The service keeps the job for its time, so this can be undone. */
function takeOff(some, next) {
  const places = some.map((each) => pictures.all.indexOf(each));
  const hadFocus = Boolean(document.activeElement.closest("#shelf, #viewer"));
  pictures.remove(some);
  forgetJobs(some.map(({ jobId }) => jobId));
  if (some.includes(shelf.shown)) show(next);
  if (hadFocus) requestAnimationFrame(() => (pictures.all.length ? shelf.focus() : find("#pick").focus()));
  const end = setTimeout(() => some.forEach(letGo), FORGET_MS);
  toast(some.length === 1 ? `${some[0].name} was removed.` : `${count(some.length, "picture")} removed.`, {
    label: "Undo",
    run: () => {
      clearTimeout(end);
      some.forEach((each, index) => pictures.add([each], places[index]));
      remember(pictures.all);
      show(some[0]);
    },
  });
}

/** What a removed picture holds in memory. */
function letGo(picture) {
  forget(picture.thumb);
  picture.file = null;
}

async function cancel(picture) {
  if (picture.state === "sending" || picture.state === "uploading") uploads.stop(picture);
  else await told(() => jobs.cancel(picture));
}

async function again(picture) {
  if (picture.state === "failed") await told(() => jobs.retry(picture));
  else uploads.send(picture);
}

/** The same picture with the options of now, beside the earlier cutout: that one may be the better. */
function doAgain() {
  const old = shelf.shown;
  const source = old.state === "done" || old.state === "failed" ? { job: `${old.jobId}/0` } : old.source;
  const fresh = newPicture(old.name, source, options.chosen(), old.file);
  if (old.file) shrink(fresh);
  else fresh.thumb = old.thumb;
  add([fresh], pictures.all.indexOf(old) + 1);
  uploads.send(fresh);
}

function offerAgain() {
  const shown = shelf.shown;
  const same = shown && JSON.stringify(shown.options) === JSON.stringify(options.chosen());
  redo.hidden = !shown || same || !isOver(shown);
}

async function told(act) {
  try {
    await act();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    toast(problem.message);
  }
}

// What the service does

let goneCount = 0;

function gone(picture) {
  if (!pictures.has(picture)) return;
  pictures.remove([picture]);
  letGo(picture);
  forgetJobs([picture.jobId]);
  if (picture === shelf.shown) show(pictures.all[0] ?? null);
  goneCount += 1;
  if (goneCount === 1) {
    setTimeout(() => {
      toast(`${count(goneCount, "earlier picture is", "earlier pictures are")} no longer on the service.`);
      goneCount = 0;
    }, 1000);
  }
}

const heldText = make("span");
find("#held").append(heldText, button("compact", () => uploads.goOn(), "Try now"));
let hold = null;

function showHold(held) {
  hold = held;
  find("#held").hidden = !held;
  countHeld();
}

function countHeld() {
  if (!hold) return;
  const waiting = pictures.all.filter(({ state }) => state === "sending").length;
  heldText.textContent = `${hold} ${count(waiting, "picture waits", "pictures wait")} here and will be sent then.`;
}

// What is seen

const meter = make("span", { className: "meter" }, make("i"));
const progressText = make("span", { className: "small number" });
find("#progress").append(progressText, meter);
const zipText = make("span", {}, "Download all");
const zipButton = Object.assign(button("compact", downloadAll, icon("download"), zipText), { id: "download-all" });
const clearButton = Object.assign(button("quiet compact", clear, icon("bin"), make("span", {}, "Clear")), { id: "clear", ariaLabel: "Clear" });
find("#shelf-acts").append(zipButton, clearButton);

pictures.onChange((changed) => {
  let fresh = false;
  for (const picture of changed) {
    if (!pictures.has(picture)) continue;
    if (picture.state === "done" && !picture.cutout) picture.cutout = previewOf(picture.jobId, "result");
    if (picture.jobId && picture.kept !== picture.jobId) {
      if (picture.kept) forgetJobs([picture.kept]);
      picture.kept = picture.jobId;
      fresh = true;
    }
  }
  // All, so that they come back in the order of the shelf and not of the answers.
  if (fresh) remember(pictures.all);
  shelf.update(changed);
  viewer.update(changed);
  saving.update();
  offerAgain();
  sum();
});

let ended = true;

function sum() {
  const { total, ended: over, done, failed, text } = tally(pictures.all);
  progressText.textContent = text;
  const busy = over < total;
  meter.hidden = !busy;
  meter.firstChild.style.setProperty("--part", total ? over / total : 0);
  zipButton.hidden = done < 2;
  clearButton.hidden = over === 0;
  document.title = busy ? `${over}/${total} · ${TITLE}` : TITLE;
  countHeld();
  showTroubles(pictures.all, acts);
  if (!busy && !ended) tell(total === 1 && done ? `${pictures.all[0].name} is done.` : `${text}.`);
  ended = !busy;
  if (failed === 0) find("#troubles").open = false;
}

/** For those who do not see it. */
function tell(text) {
  find("#told").textContent = text;
}

async function downloadAll() {
  const done = pictures.all.filter(({ state }) => state === "done");
  try {
    if (saving.packing) saving.stop();
    else await saving.all(done, (number) => { zipText.textContent = `Stop (${number} of ${done.length})`; });
  } finally {
    // One that was stopped may end after the next has begun.
    if (!saving.packing) zipText.textContent = "Download all";
  }
}

function clear() {
  const over = pictures.all.filter(isOver);
  takeOff(over, pictures.all.find((each) => !isOver(each)) ?? null);
}

// Begin

function comeBack() {
  const kept = remembered().map(({ id, name, options: chosen }) => {
    const picture = newPicture(name, { job: `${id}/0` }, chosen);
    return Object.assign(picture, { jobId: id, kept: id, state: "waiting" });
  });
  if (!kept.length) return;
  pictures.add(kept);
  show(kept.at(-1));
  for (const picture of kept.reverse()) jobs.ask(picture);
}

find("#panel").append(background.element, saving.element, options.element, make("div", { className: "redo" }, redo));
takeIn(addFiles, addAddresses);
comeBack();

let linked = "";
follow({
  job: (view) => jobs.seen(view),
  stats: () => {},
  reset: () => jobs.refresh(Infinity),
  state: (state) => {
    // What happened while nobody listened is asked for once.
    if (state === "live" && linked !== "live") jobs.refresh(Infinity);
    linked = state;
    showState(state);
  },
}, () => jobs.refresh());

// Places in the queue are no events: they are asked for where they are read, on the stage and for the last in line.
setInterval(() => {
  if (document.hidden) return;
  jobs.askAgain();
  const last = pictures.unfinished.findLast(({ state }) => state === "waiting");
  for (const picture of new Set([shelf.shown, last])) {
    if (picture?.jobId && picture.state === "waiting") jobs.ask(picture);
  }
}, PLACES_MS);

addEventListener("beforeunload", (event) => {
  if (uploads.waiting) event.preventDefault();
});

told(async () => { options.offer(await getJson("/models")); });
told(async () => {
  ({ limits } = await getJson("/health"));
  find("#limits").append(`, up to ${Math.floor(limits.max_upload_bytes / 1e6)} MB and ${limits.max_megapixels} megapixels each`);
});
