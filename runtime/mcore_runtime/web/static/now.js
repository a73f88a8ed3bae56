// Camera, state of the stream, and whose dive comes next.

import { command } from "./connection.js";
import { editEntry } from "./dialogs.js";
import { $, ago, capital, el, inWords, rebuild, setText } from "./dom.js";
import { STANDSTILL_S, state, words } from "./state.js";
import { attempt } from "./toast.js";

const SOURCE = {
  connecting: ["wait", "Connecting"],
  streaming: ["good", "Live"],
  retrying: ["bad", "Camera lost"],
  ended: ["off", "Over"],
  failed: ["bad", "Failed"],
  closed: ["off", "Closed"],
};
const DETECTOR = {
  off: ["off", "Manual"],
  watching: ["good", "Watching"],
  "dive seen": ["busy", "Dive seen"],
  scoring: ["busy", "Scoring"],
};

/** Make the buttons work. */
export function wireNow() {
  $("trigger").addEventListener("click", () => attempt(() => command("trigger"), "The last seconds are cut and scored."));
  $("back").addEventListener("click", () => attempt(() => command("back")));
  $("skip").addEventListener("click", () => attempt(() => command("skip")));
  $("edit-current").addEventListener("click", () => editEntry(state.snapshot.current));
  $("number-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("number-input").value.trim();
    attempt(() => command("set_dive", { dive_number: text === "" ? null : text }),
      text === "" ? "The dive number is unknown now." : `The next dives are ${text.toUpperCase()}.`);
  });
  window.addEventListener("load", () => setTimeout(restartPicture));
  document.addEventListener("visibilitychange", restartPicture);
}

/** Ask for the live picture anew; a hidden page asks for none. */
export function restartPicture() {
  if (document.readyState !== "complete") return; // a page with a stream that began before would be loading for ever
  const image = $("picture");
  if (document.hidden || !state.connected) image.removeAttribute("src");
  else image.src = `/api/stream?at=${Date.now()}`;
}

export function showNow() {
  const { source, detector, current, start_list: entries, default_dive_number: number, session, meet } = state.snapshot;
  const lines = state.connected ? SOURCE[source.state] : ["bad", "No connection"];
  const rate = source.frames_per_second === null || source.state !== "streaming" ? "" : ` ${Math.round(source.frames_per_second)} fps`;
  pill("source-pill", lines[0], lines[1] + (state.connected ? rate : ""));
  pill("detector-pill", ...(state.connected ? DETECTOR[detector.state] ?? ["off", detector.state] : ["off", "Unknown"]));
  $("live").classList.toggle("seen", detector.state === "dive seen");
  picture(source);
  const leads = meet?.leads ?? false;
  rebuild($("now-entry"), [current, entries.length, number, words(current?.dive_number ?? number), leads && meet], () =>
    current === null ? noEntry(entries, number, leads ? meet : null) : entry(current, entries, leads ? meet : null));
  const needsNumber = current === null || current.dive_number === null;
  $("number-form").hidden = !needsNumber || (leads && current === null);
  if (document.activeElement !== $("number-input")) $("number-input").value = number ?? "";
  for (const id of ["back", "skip", "edit-current"]) $(id).hidden = entries.length === 0;
  $("skip").disabled = $("edit-current").disabled = current === null;
  setText($("now-title"), current === null ? "Next dive" : leads ? "Announced by the meet" : "Next to dive");
  setText($("trigger-hint"), session.mode === "auto" ? "Dives are found by themselves; the button is for one that was missed." : "");
}

function pill(id, level, text) {
  $(id).className = `pill ${level}`;
  setText($(id).querySelector(".text"), text);
}

function picture(source) {
  const stands = source.is_live && source.state === "streaming" && source.silent_s > STANDSTILL_S;
  const runs = state.connected && source.state === "streaming" && !stands;
  $("picture").hidden = source.frames === 0;
  $("live").classList.toggle("stale", !runs);
  const size = source.size === null ? "" : ` · ${source.size[0]} × ${source.size[1]}`;
  const old = source.silent_s === null || source.silent_s === undefined ? "" : `, ${ago(source.silent_s)} old`;
  const text = runs ? source.name + size : source.frames === 0 ? "No picture yet" : `Last picture${state.connected ? old : ""}`;
  setText($("picture-note"), text);
}

function entry(current, entries, meet) {
  const place = entries.findIndex((other) => other.order === current.order) + 1;
  const where = meet === null ? `${place} of ${entries.length}` : "";
  const facts = [where, current.round === null ? "" : `round ${current.round}`, current.club];
  return [
    el("p", { class: "athlete" }, current.athlete),
    el("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
    ...announced(current.dive_number, current.difficulty, current.height_m),
    ...(meet?.announced?.notes ?? []).map((note) => el("p", { class: "remark note" }, capital(note))),
  ];
}

function noEntry(entries, number, meet) {
  if (meet !== null) return [el("p", { class: "athlete" }, meet.is_over ? "The event is over" : "Nobody is announced"),
    el("p", { class: "facts" }, "A dive that is found now is given to nobody.")];
  if (entries.length > 0) return [el("p", { class: "athlete" }, "The start list is through"), ...announced(number, null)];
  return announced(number, null);
}

function announced(number, difficulty, height = null) {
  if (number === null) return [el("p", { class: "facts" }, "Dive number unknown: compared with dives of other numbers too, which is less certain.")];
  const dd = difficulty === null ? "" : ` ·\u00a0difficulty\u00a0${difficulty.toFixed(1)}`;
  const from = height === null ? "" : ` ·\u00a0${height}\u00a0m`;
  return [el("p", { class: "announced" }, el("b", {}, number), ` ${inWords(words(number))}${dd}${from}`)];
}
