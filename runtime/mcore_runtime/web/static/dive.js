// The dive that is looked at: score, interval, stages, film strip, exemplars; and what an operator can do with it.

import { exemplarComparison } from "./comparison.js";
import { STAGES, predictionsChart, stageBars } from "./charts.js";
import { command, fetchDive } from "./connection.js";
import { assignDive } from "./dialogs.js";
import { $, capital, cautionOf, el, inWords, intervalMeaning, intervalWords, plural, points, rebuild, signed } from "./dom.js";
import { judgesRow } from "./meet.js";
import { difficultyWords, shownRow, state, words } from "./state.js";
import { attempt } from "./toast.js";
import { playVideo } from "./video.js";

const MAX_RECORDS = 60;
const SHOWN_EXEMPLARS = 6;
const TIMEOUT_MS = 10_000; // the pictures of a dive follow its score a moment later
const STATUS = { scoring: "being scored", held: "score held back", unlike: "unlike known dives", invalid: "not scored", failed: "failed", void: "void" };
const records = new Map();
let waiting = "";

const version = (row) => `${row.number} ${row.created} ${row.status}`;

export function showDive() {
  const { dives } = state.snapshot;
  const row = shownRow();
  rebuild($("dives"), [dives.map((d) => [d.number, d.status, d.score, d.athlete, d.judges?.points]), row?.number, state.shown], () => chips(dives, row));
  if (row === undefined) {
    rebuild($("dive-body"), "none", () => el("div", { class: "empty-dive" }, el("h2", { id: "dive-title" }, "No dive yet"),
      el("p", { class: "facts" }, "The first one appears here a moment after the entry.")));
    return;
  }
  const record = records.get(version(row));
  if (record === undefined) load(row);
  // Until its record is there, a dive is shown with what its row says.
  const isNew = $("dive-body").dataset.number !== String(row.number);
  const changed = rebuild($("dive-body"), [row, record?.strip_pictures, record?.comparison, record !== undefined, words(row.dive_number)], () => body(row, record));
  $("dive-body").dataset.number = row.number;
  if (changed && isNew && state.shown === null) flash($("dive"));
}

async function load(row) {
  const key = version(row);
  if (waiting === key) return;
  waiting = key;
  const began = Date.now();
  while (waiting === key) {
    const record = await fetchDive(row.number);
    if (record !== null && version(record) === key) {
      records.delete(key);
      records.set(key, record);
      if (records.size > MAX_RECORDS) records.delete(records.keys().next().value);
      showDive();
      if (record.strip_pictures > 0 || Date.now() - began > TIMEOUT_MS || Date.now() - Date.parse(record.created) > TIMEOUT_MS) break;
    }
    await new Promise((resolve) => setTimeout(resolve, 700));
    if (version(shownRow() ?? row) !== key) break;
  }
  if (waiting === key) waiting = "";
}

function flash(section) {
  section.classList.remove("fresh");
  void section.offsetWidth; // begins the animation anew
  section.classList.add("fresh");
}

function chips(dives, shown) {
  const latest = el("button", { type: "button", class: "chip latest", "data-key": "latest", "aria-pressed": String(state.shown === null), onclick: () => choose(null) }, "Latest");
  const list = dives.toReversed().map((row) =>
    el("button", {
      type: "button", class: `chip ${row.status}`, "data-key": `dive-${row.number}`, "aria-current": row.number === shown?.number ? "true" : null,
      "aria-label": `Dive ${row.number}, ${row.athlete || "no name"}, ${row.score === null ? STATUS[row.status] : points(row.score)}${row.status === "unlike" ? ", does not count" : ""}`,
      onclick: () => choose(row.number),
    }, el("small", {}, `#${row.number}`), el("b", {}, chipText(row))));
  return [latest, ...list];
}

const chipText = (row) => (["scored", "unlike"].includes(row.status) ? points(row.score) : { scoring: "…", held: "held", invalid: "gap", failed: "!", void: "void" }[row.status]);

function choose(number) {
  state.shown = number;
  showDive();
}

function body(row, record) {
  const result = record?.result ?? null;
  return [
    head(row, result),
    judgesRow(row),
    ...remarks(row),
    result === null ? null : timeline(result),
    record === undefined ? null : strip(record),
    record === undefined ? null : exemplarComparison(record),
    result === null ? null : details(result),
    foot(row, record),
  ].filter(Boolean);
}

function head(row, result) {
  const number = row.dive_number ?? (row.looks_like ? `Looks like ${row.looks_like}` : "Dive number unknown");
  const difficulty = state.snapshot.start_list.find((entry) => entry.order === row.order)?.difficulty ?? result?.difficulty;
  const means = [inWords(words(row.dive_number)), difficulty && row.dive_number !== null ? difficultyWords(row.dive_number, difficulty.toFixed(1)) : ""];
  const title = el("div", { class: "title" },
    el("p", { class: "eyebrow" }, `Dive ${row.number}`, row.status === "scored" ? null : el("span", { class: `badge ${row.status}` }, STATUS[row.status])),
    el("h2", { id: "dive-title" }, row.athlete || number),
    el("p", { class: "facts" }, row.club),
    el("p", { class: "announced" }, row.athlete ? el("b", {}, number, " ") : "", means.filter(Boolean).join(" ·\u00a0")));
  return el("div", { class: "head" }, title, el("div", { class: row.judges ? "scores both" : "scores" }, score(row, result), judgesScore(row)));
}

/** What the judges gave, beside the network's score. */
function judgesScore(row) {
  if (!row.judges) return null;
  return el("div", { class: "score by-judges" }, el("p", { class: "by" }, "Judges"), el("p", { class: "points" }, points(row.judges.points)));
}

function score(row, result) {
  const by = row.judges ? el("p", { class: "by" }, "Network") : null;
  if (row.held) {
    return el("div", { class: "score held" }, el("p", { class: "points", "aria-hidden": "true" }, "•••"),
      el("p", { class: "interval-text" }, "held back until the judges' awards are in"));
  }
  if (row.score === null) return el("div", { class: "score none" }, by, el("p", { class: "points", "aria-hidden": "true" }, row.status === "scoring" ? "…" : "–"));
  return el("div", { class: `score ${row.status}` }, by,
    el("p", { class: "points" }, points(row.score)),
    row.status === "unlike" ? el("p", { class: "interval-text" }, "does not count") : el("p", { class: "interval-text", title: intervalMeaning(row) }, intervalWords(row)),
    !row.award ? null : el("p", { class: "award" }, row.award.text),
    cautionOf(row));
}

function remarks(row) {
  const found = [];
  if (row.status === "unlike") found.push(["warn", `Unlike every dive that this bundle knows, so its score does not count: ${row.reasons.join("; ")}.`]);
  const isNamed = row.dive_number === null && row.looks_like;
  if (row.score !== null && isNamed) found.push(["warn", `Its number is unknown: compared with exemplars of what it looks like, ${row.looks_like}.`]);
  else if (row.score !== null && row.same_dive_number === false) {
    found.push(["warn", `Compared with other dives: ${row.dive_number === null ? "its number is unknown" : `there is no exemplar of ${row.dive_number}`}. Less certain${(row.interval_level ?? null) === null ? " than the range says" : ""}.`]);
  }
  if (row.status === "invalid") found.push(["warn", `Not scored, because the clip is not whole: ${row.reasons.join("; ")}.`]);
  if (row.status === "failed") found.push(["bad", `Could not be scored: ${row.reasons.join("; ")}.`]);
  if (row.status === "void") found.push(["warn", "Void: it counts for nothing, and its entry dives again."]);
  // With which dives it was compared has just been said, in other words.
  const notes = row.notes.filter((note) => !/^compared with exemplars of (other dive numbers|what it looks like)/.test(note));
  found.push(...notes.map((note) => ["note", capital(note)]));
  return found.map(([level, text]) => el("p", { class: `remark ${level}` }, text));
}

function timeline(result) {
  const [flight, entry] = result.transitions_s;
  const ends = [0, flight, entry, Math.max(result.video.duration_s, entry)];
  const parts = STAGES.map((stage, index) => {
    const seconds = Math.max(0, ends[index + 1] - ends[index]);
    const part = el("li", { class: `stage${index}` }, el("span", {}, capital(stage)), el("b", {}, `${seconds.toFixed(2)} s`));
    part.style.flexGrow = Math.max(seconds, 0.001).toFixed(3);
    return part;
  });
  return el("ol", { class: "timeline", "aria-label": "Stages" }, parts);
}

function strip(record) {
  const times = pictureTimes(record);
  const [flight, entry] = record.result?.transitions_s ?? [Infinity, Infinity];
  const figures = times.map((time, index) => {
    const stage = record.result === null ? "" : `edge${Number(time >= flight) + Number(time >= entry)}`;
    const begins = time === flight || time === entry;
    return el("figure", { class: `${stage}${begins ? " begins" : ""}` },
      el("img", { src: `/api/dives/${record.number}/strip/${index}.jpg?v=${encodeURIComponent(record.created)}`, alt: "", width: 200, height: 112, decoding: "async" }),
      el("figcaption", {}, begins ? el("b", {}, time === flight ? "flight " : "entry ") : "", `${time.toFixed(2)} s`));
  });
  return figures.length === 0 ? null : el("div", { class: "strip", role: "img", "aria-label": "Film strip of the dive" }, figures);
}

/** Times of the pictures: evenly over the clip, with the transitions in place of their nearest neighbours. */
function pictureTimes(record) {
  const count = record.strip_pictures;
  const length = record.end_s - record.start_s;
  const times = Array.from({ length: count }, (_, i) => (count === 1 ? 0 : (i * length) / (count - 1)));
  for (const transition of record.result?.transitions_s ?? []) {
    const fixed = record.result.transitions_s;
    const free = times.map((_, i) => i).filter((i) => !fixed.includes(times[i]));
    const nearest = free.reduce((best, i) => (Math.abs(times[i] - transition) < Math.abs(times[best] - transition) ? i : best), free[0]);
    if (nearest !== undefined) times[nearest] = transition;
  }
  return times.sort((a, b) => a - b);
}

function details(result) {
  return el("div", { class: "panels" },
    el("section", {}, el("h3", {}, "Where the points come from"), stageBars(result),
      el("h3", {}, `What ${plural(result.exemplars.length, "exemplar")} predict${result.exemplars.length === 1 ? "s" : ""}`), predictionsChart(result),
      el("p", { class: "hint" }, `The score is their mean.${result.low === null ? "" : ` The band: ${intervalMeaning(result)}`}`)),
    el("section", {}, el("h3", {}, "Closest exemplars"), exemplars(result)));
}

function exemplars(result) {
  const others = !result.same_dive_number;
  const names = ["Exemplar", others ? "Dive" : null, "Score", "Difference", "Predicts"].filter(Boolean);
  const head = el("tr", {}, names.map((name, i) => el("th", { scope: "col", class: i === 0 ? null : "number" }, name)));
  const rows = result.exemplars.slice(0, SHOWN_EXEMPLARS).map((exemplar) =>
    el("tr", {}, el("th", { scope: "row", title: exemplar.name }, exemplar.name.split("/").at(-1).replace(/\.\w+$/, "")), others ? el("td", { class: "number" }, exemplar.dive_number) : null,
      el("td", { class: "number" }, points(exemplar.score)), el("td", { class: "number" }, signed(exemplar.delta)),
      el("td", { class: "number total" }, points(exemplar.predicted_score))));
  const rest = result.exemplars.length - SHOWN_EXEMPLARS;
  return el("table", { class: "exemplars" }, el("thead", {}, head), el("tbody", {}, rows),
    rest <= 0 ? null : el("tfoot", {}, el("tr", {}, el("td", { colspan: names.length }, `and ${rest} more`))));
}

function foot(row, record) {
  const act = (name, text, done) => el("button", { type: "button", "data-key": name, onclick: () => attempt(() => command(name, { number: row.number }), done) }, text);
  const hasNames = state.snapshot.start_list.length > 0;
  const buttons = [
    row.has_clip && record ? el("button", { type: "button", class: "primary", "data-key": "video", onclick: () => playVideo(record) }, "Play video") : null,
    row.held ? act("reveal", "Show score", `The score of dive ${row.number} is shown.`) : null,
    row.status === "unlike" ? act("accept", "Accept", `The score of dive ${row.number} counts now.`) : null,
    ["scored", "unlike", "failed"].includes(row.status) ? act("rescore", "Score again", `Dive ${row.number} is scored again.`) : null,
    hasNames && row.status !== "void" ? el("button", { type: "button", "data-key": "assign", onclick: () => assignDive(row) }, "Give to…") : null,
    row.status === "void" ? act("restore", "Restore", `Dive ${row.number} counts again.`) : act("void", "Void", `Dive ${row.number} counts for nothing now.`),
  ];
  const took = row.time_to_score_ms === null ? "" : `scored ${Math.round(row.time_to_score_ms)} ms after its last frame`;
  const seen = record === undefined ? "" : { operator: "cut by the operator", "whole-file": "the whole file" }[record.found_by] ?? "found by the detector";
  return el("div", { class: "foot" }, el("div", { class: "actions" }, buttons), el("p", { class: "hint" }, [seen, took].filter(Boolean).join(", ")));
}
