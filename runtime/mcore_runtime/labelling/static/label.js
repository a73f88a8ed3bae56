// One clip at a time: its frames, what is proposed, and a label that is on the disk before the page says so.

import { $, capital, el, inWords, plural, points, sentence, setText } from "/static/dom.js";
import { toast } from "/static/toast.js";

const KEPT = 6; // clips whose frames stay here: the one before, this one, the next, each with a second view
const STEP = 10;

let names = [], verdicts = [], at = 0, clip = null, frame = 0, sending = Promise.resolve();
let isBusy = false; // on the way to another clip: keys of a fast hand must not change the one that is left
const pictures = new Map(); // by clip: a promise of its frames as JPEGs
const undos = [];

/** Ask the program; throws an Error for people, with the status. */
async function ask(path, change) {
  const request = change && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(change) };
  let answer;
  try {
    answer = await fetch(path, request ?? { cache: "no-store" });
  } catch {
    throw new Error("The program cannot be reached: nothing was saved.");
  }
  if (answer.status === 401) location.reload();
  if (answer.status === 429) { // too fast for it: the same again, a little later
    await new Promise((resolve) => setTimeout(resolve, 300));
    return ask(path, change);
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(sentence(body.error ?? `refused (${answer.status})`)), { status: answer.status });
}

const fetchClip = async (index) => (await ask(`/api/clips/${index}`)).json();

function fetchPictures(index, sizes) {
  if (!pictures.has(index)) {
    const cut = async () => {
      const bytes = sizes.length ? await (await ask(`/api/clips/${index}/frames`)).arrayBuffer() : null;
      let begin = 0;
      return sizes.map((size) => new Blob([new Uint8Array(bytes, (begin += size) - size, size)], { type: "image/jpeg" }));
    };
    pictures.set(index, cut());
    if (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(index);
}

/** Go to a clip, and get the next one ready meanwhile. */
async function open(index) {
  isBusy = true;
  try {
    await sending;
    const found = await fetchWhole(index);
    const beside = found.second === null ? null : await fetchWhole(found.second);
    at = index;
    clip = { ...found, beside, shift_s: beside === null ? 0 : between(found, beside) };
    history.replaceState(null, "", `#${encodeURIComponent(clip.name)}`);
    showLabel(true);
    showFrame(clip.label.takeoff_frame ?? 0);
    $("viewer").focus({ preventScroll: true });
    const ahead = nextOpen();
    if (ahead !== null) fetchWhole(ahead).then(({ second }) => second !== null && fetchWhole(second)).catch(() => pictures.delete(ahead));
  } catch (error) {
    pictures.delete(index);
    toast(error.message, true);
  }
  isBusy = false;
}

/** A clip with its frames. */
async function fetchWhole(index) {
  const found = await fetchClip(index);
  return { ...found, blobs: await fetchPictures(index, found.sizes), index };
}

/** What the second view's clock shows more than the first one's, seconds: both show the entry at once. */
const between = (first, second) => timeOf(second, second.label.entry_frame) - timeOf(first, first.label.entry_frame);
const timeOf = ({ times_s }, number) => times_s[number ?? 0] ?? 0;

/** Frame of the second view that is nearest in time to the one that is shown. */
function secondFrame() {
  const { times_s } = clip.beside, wanted = timeOf(clip, frame) + clip.shift_s;
  const after = times_s.findIndex((time) => time >= wanted);
  if (after < 0) return Math.max(0, times_s.length - 1);
  return after > 0 && wanted - times_s[after - 1] < times_s[after] - wanted ? after - 1 : after;
}

/** Move the second view alone. */
function shiftSecond(step) {
  if (clip.beside === null) return;
  const { times_s } = clip.beside, number = Math.min(Math.max(secondFrame() + step, 0), times_s.length - 1);
  clip.shift_s = timeOf(clip.beside, number) - timeOf(clip, frame);
  showSecond();
}

function showSecond() {
  const { beside } = clip, isThere = beside !== null;
  for (const id of ["second", "second-picture"]) $(id).hidden = !isThere;
  if (!isThere) return;
  const number = secondFrame(), isBad = beside.label.verdict === "bad-clip";
  const { takeoff_frame: first, entry_frame: second } = beside.label;
  const marks = [["take-off", first], ["entry", second]].map(([words, at]) => `${words} ${at === null ? "not marked" : `at ${at}`}`).join(", ");
  setText($("second-frame"), `${beside.name}: ${isBad ? "bad clip" : beside.unreadable ? sentence(beside.unreadable) : `frame ${number} · ${marks}`}`);
  $("second-bad").setAttribute("aria-pressed", isBad);
  draw($("second-picture"), beside.blobs[number]);
}

function nextOpen() {
  const order = names.map((_, i) => (at + 1 + i) % names.length);
  return order.find((i) => i !== at && verdicts[i] === "open") ?? null;
}

async function draw(canvas, blob) {
  canvas.wanted = blob;
  if (blob === undefined) {
    canvas.width = canvas.width; // empties it
    return;
  }
  const image = await createImageBitmap(blob);
  if (canvas.wanted !== blob) return; // another frame was asked for meanwhile
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").drawImage(image, 0, 0);
}

function showFrame(number) {
  const last = Math.max(0, clip.times_s.length - 1);
  frame = Math.min(Math.max(number, 0), last);
  Object.assign($("slider"), { max: last, value: frame });
  const words = clip.times_s.length ? `frame ${frame} of ${last} · ${clip.times_s[frame].toFixed(2)} s` : "no frames";
  setText($("frame"), capital(words));
  $("picture").setAttribute("aria-label", capital(words));
  draw($("picture"), clip.blobs[frame]);
  showSecond();
}

function showMoment(id, words, number) {
  const isThere = number !== null && number < clip.times_s.length;
  setText($(id), isThere ? `${words}: frame ${number}, ${clip.times_s[number].toFixed(2)} s` : `${words}: not marked`);
  draw($(`${id}-picture`), isThere ? clip.blobs[number] : undefined);
}

/** Show the label; what somebody is typing stays, unless it is of another clip or another person's label. */
function showLabel(isOther = false) {
  const { label, faults, warnings } = clip;
  setText($("name"), clip.name);
  const done = verdicts.filter((verdict) => verdict !== "open").length;
  setText($("progress"), `${done} of ${names.length} labelled`);
  [...$("clips").children].forEach((button, i) => {
    button.className = verdicts[i];
    button.setAttribute("aria-current", i === at);
  });
  const found = label.by_rule ? "labelled by the session alone" : clip.is_proposed ? "proposed by the session" : label.verdict.replace("-", " ");
  setText($("who"), [clip.athlete, clip.status, label.verdict === "open" && !clip.is_proposed ? "begun" : found].filter(Boolean).join(" · "));
  for (const [id, text] of [["number", label.dive_number], ["difficulty", label.difficulty ?? ""], ["judged", label.judged]]) {
    if (isOther || document.activeElement !== $(id)) $(id).value = text;
  }
  setText($("words"), capital(inWords(clip.words)));
  $("difficulties").replaceChildren(...clip.difficulties.map(([height, value]) =>
    el("button", { class: "quiet", "aria-pressed": String(value === label.difficulty), onclick: () => change({ difficulty: value }) }, `${height} m: ${value.toFixed(1)}`)));
  const others = clip.possible.filter((number) => number !== label.dive_number);
  $("numbers").replaceChildren(...others.map((number) =>
    el("button", { class: "quiet", onclick: () => change({ dive_number: number, difficulty: null }) }, `${number}?`)));
  const { judges } = clip;
  setText($("meet"), judges === null ? "" : `From the meet: ${judges.awards}: ${points(judges.points, 2)}${judges.penalty ? `; penalty: ${judges.penalty}, which no picture shows` : ""}`);
  setText($("score"), clip.score === null ? "" : `${points(clip.score, 2)} points`);
  const doubt = clip.is_proposed && !clip.moments_agree && label.entry_frame !== null ? ["network and detector disagree about take-off or entry: look at both"] : [];
  const remarks = clip.unreadable ? [] : [...faults.map((text) => ["bad", text]), ...[...warnings, ...doubt].map((text) => ["warn", text])];
  $("remarks").replaceChildren(...remarks.map(([kind, text]) => el("li", { class: `remark ${kind === "bad" ? "" : "warn"}` }, sentence(text))));
  $("unreadable").hidden = !clip.unreadable;
  setText($("unreadable"), sentence(clip.unreadable ?? ""));
  $("picture").hidden = Boolean(clip.unreadable);
  const { takeoff_frame: first, entry_frame: second } = label;
  const stages = first === null || second === null ? [1, 0, 0] : [first, second - first, clip.times_s.length - second];
  document.querySelectorAll(".stages-bar i").forEach((bar, i) => { bar.style.flexGrow = Math.max(0, stages[i]); });
  showMoment("takeoff", "Take-off", first);
  showMoment("entry", "Entry", second);
  showSecond();
}

/** Save a label in place of the version that is shown; resolves to whether it was saved. */
async function post(shown, label) {
  try {
    const answer = await (await ask(`/api/clips/${shown.index}`, { seen: shown.version, label })).json();
    verdicts = answer.verdicts;
    Object.assign(shown, answer);
    if (clip === shown) showLabel();
    if (clip.beside === shown) showSecond();
    return true;
  } catch (error) {
    toast(shown === clip.beside ? `Second view: ${error.message}` : error.message, true);
    if (error.status === 409) {
      const theirs = await fetchClip(shown.index).catch(() => shown);
      const isOther = theirs.version !== shown.version;
      Object.assign(shown, theirs);
      if (clip === shown) showLabel(isOther);
      if (clip.beside === shown) showSecond();
    }
    return false;
  }
}

/** Put a label in the place of a clip's; resolves to what takes it back, or to null: it was not saved. */
async function put(shown, label) {
  const before = { ...shown.label, by_rule: false }, seen = shown.version;
  return (await post(shown, label)) ? { before, seen, after: shown.version } : null;
}

const isLabelledToo = (beside) => beside !== null && !beside.unreadable && beside.label.verdict !== "bad-clip";

/**
 * Change the label, and the second view's; they are saved after what is being saved already.
 * `ofSecond`: what is changed of the second view besides all that is one for both; null: leave it as it is.
 */
function change(changes, { isUndone = true, ofSecond = {} } = {}) {
  const shown = clip, { beside } = shown;
  sending = sending.then(async () => {
    const label = { ...shown.label, ...typed(shown), verdict: "open", ...changes };
    const { verdict, dive_number, difficulty, judged } = label;
    let second = null;
    if (ofSecond !== null && isLabelledToo(beside)) { // first: what is refused of it must not leave half a pair behind
      second = await put(beside, { ...beside.label, verdict, dive_number, difficulty, judged, ...ofSecond });
      if (second === null) return false;
    }
    const first = await put(shown, label);
    if (first !== null && isUndone) undos.push({ index: shown.index, first, second });
    return first !== null;
  });
  return sending;
}

/** Say that the second view is a bad clip, which is not labelled with the first one; or that it is none. */
function toggleSecond() {
  const { beside, index } = clip;
  if (beside === null) return;
  sending = sending.then(async () => {
    const second = await put(beside, { ...beside.label, verdict: beside.label.verdict === "bad-clip" ? "open" : "bad-clip" });
    if (second !== null) undos.push({ index, first: null, second });
  });
}

/** What stands in the fields and is not saved yet; another dive number has another difficulty. */
function typed(shown) {
  if (clip !== shown) return {};
  const dive_number = $("number").value.trim().toUpperCase(), text = $("difficulty").value.trim().replace(",", ".");
  const isOther = dive_number !== shown.label.dive_number;
  const given = text === "" || !Number.isFinite(Number(text)) ? null : Number(text);
  const difficulty = isOther && given === shown.label.difficulty ? null : given;
  return { dive_number, difficulty, judged: $("judged").value.trim() };
}

async function finish(verdict) {
  isBusy = true;
  const isSaved = await change({ verdict }, verdict === "bad-clip" ? { ofSecond: null } : {}); // the other camera may be good
  const next = nextOpen();
  if (isSaved && next !== null) {
    await open(next);
    return;
  }
  isBusy = false;
  if (isSaved) toast("All clips are labelled.");
  else if (clip.label.verdict === "open") await change({}, { isUndone: false, ofSecond: null }); // what was typed is kept all the same
}

async function undo() {
  await sending;
  const last = undos.pop();
  if (last === undefined) {
    toast("There is nothing to undo.");
    return;
  }
  if (last.index !== at) await open(last.index);
  isBusy = true;
  const views = [["second", clip.beside], ["first", clip]].filter(([view]) => last[view] !== null);
  const changed = views.find(([view, shown]) => shown.version !== last[view].after);
  if (changed !== undefined) {
    toast(`Somebody else has labelled ${changed[1].name} meanwhile; this is how they left it.`, true);
  } else {
    for (const [view, shown] of views) {
      if (!(await post(shown, last[view].before))) break;
      for (const { index, [view]: each } of undos) if (index === last.index && each?.after === last[view].seen) each.after = shown.version;
    }
    showFrame(clip.label.takeoff_frame ?? 0);
  }
  isBusy = false;
}

const mark = (moment) => change({ [moment]: frame }, { ofSecond: clip.beside && { [moment]: secondFrame() } });

const keys = {
  ArrowLeft: (event) => showFrame(frame - (event.shiftKey ? STEP : 1)),
  ArrowRight: (event) => showFrame(frame + (event.shiftKey ? STEP : 1)),
  Home: () => showFrame(0),
  End: () => showFrame(clip.times_s.length - 1),
  Enter: () => finish("dive"),
  t: () => mark("takeoff_frame"),
  e: () => mark("entry_frame"),
  ",": () => shiftSecond(-1),
  ".": () => shiftSecond(1),
  v: toggleSecond,
  x: () => finish("no-dive"),
  b: () => finish("bad-clip"),
  u: undo,
  j: () => open((at + names.length - 1) % names.length),
  k: () => open((at + 1) % names.length),
  n: () => $("number").select(),
  d: () => $("difficulty").select(),
  a: () => $("judged").select(),
};

document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isText = event.target.matches("#form input"), isButton = event.target.matches("button");
  if (clip === null || isBusy || event.ctrlKey || event.altKey || event.metaKey) return;
  if (isText && key === "Escape") $("viewer").focus();
  if ((isText && key !== "Enter") || (isButton && key === "Enter") || !Object.hasOwn(keys, key)) return;
  event.preventDefault();
  keys[key](event);
});
const pressed = { less: "ArrowLeft", more: "ArrowRight", "mark-takeoff": "t", "mark-entry": "e", accept: "Enter", "no-dive": "x", "bad-clip": "b", undo: "u", previous: "j", next: "k", "second-less": ",", "second-more": ".", "second-bad": "v" };
for (const [id, key] of Object.entries(pressed)) {
  $(id).addEventListener("click", (event) => {
    if (clip !== null && !isBusy) keys[key](event);
    if (event.detail > 0) $("viewer").focus({ preventScroll: true }); // a mouse's; Enter is for the clip then
  });
}
$("slider").addEventListener("input", () => showFrame(Number($("slider").value)));
for (const id of ["number", "difficulty", "judged"]) {
  $(id).addEventListener("change", () => Object.entries(typed(clip)).some(([name, value]) => clip.label[name] !== value) && change({}));
}
for (const id of ["takeoff", "entry"]) {
  $(`${id}-picture`).addEventListener("click", () => showFrame(clip.label[`${id}_frame`] ?? frame));
}

try {
  const listed = await (await ask("/api/clips")).json();
  ({ clips: names, verdicts } = listed);
  $("clips").replaceChildren(...names.map((name, i) => el("button", { "aria-label": name, title: name, onclick: () => open(i) })));
  document.title = `${plural(names.length, "clip")} · MCoRe labels`;
  const named = names.indexOf(decodeURIComponent(location.hash.slice(1)));
  const first = verdicts.indexOf("open");
  await open(named >= 0 ? named : Math.max(first, 0));
} catch (error) {
  toast(error.message, true);
}
