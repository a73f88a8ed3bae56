// For a screen in the hall: who, what, how many points, readable from afar. Its address ends in #big.

import { $, cautionOf, el, inWords, intervalWords, points, rebuild } from "./dom.js";
import { rankingTable } from "./lists.js";
import { state, words } from "./state.js";

const RANKS = 5;

export function wireBig() {
  $("big-on").addEventListener("click", () => { location.hash = "big"; });
  $("big-off").addEventListener("click", leave);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isBig() && !document.querySelector("dialog[open]")) leave();
  });
  window.addEventListener("hashchange", turn);
  turn();
}

const isBig = () => location.hash === "#big";

function leave() {
  history.replaceState(null, "", location.pathname);
  turn();
  $("big-on").focus();
}

function turn() {
  $("big").hidden = !isBig();
  $("board").hidden = isBig();
  document.body.classList.toggle("is-big", isBig());
  if (isBig()) showBig();
}

export function showBig() {
  if (!isBig() || state.snapshot === null) return;
  const { dives, current, ranking, start_list: entries } = state.snapshot;
  const row = dives.findLast((dive) => dive.status === "scored");
  const busy = dives.at(-1)?.status === "scoring";
  rebuild($("big-body"), [row, busy, current, ranking.slice(0, RANKS), words(row?.dive_number), words(current?.dive_number)], () => [
    el("div", { class: "big-main" }, row === undefined ? el("p", { class: "big-athlete" }, busy ? "Scoring…" : "No score yet") : scored(row)),
    entries.length === 0 ? null : el("aside", { class: "big-side" }, el("div", {}, el("h2", {}, "Ranking"), rankingTable(ranking, RANKS)), next(current)),
  ].filter(Boolean));
}

function scored(row) {
  const interval = row.low === null ? "" : intervalWords(row);
  return [
    el("p", { class: "big-athlete" }, row.athlete || `Dive ${row.number}`),
    el("p", { class: "big-dive" }, el("b", {}, row.dive_number ?? ""), ` ${inWords(words(row.dive_number))}`),
    el("p", { class: row.judges ? "big-points both" : "big-points" }, points(row.score)),
    !row.judges ? null : el("p", { class: "big-judges" }, `Judges: ${points(row.judges.points, 2)}`),
    el("p", { class: "big-interval" }, row.same_dive_number === false ? `${interval}; compared with other dives` : interval),
    !row.award ? null : el("p", { class: "big-award" }, row.award.text),
    cautionOf(row),
  ];
}

function next(current) {
  if (current === null) return el("div", { class: "big-next" }, el("h2", {}, "The start list is through"));
  return el("div", { class: "big-next" }, el("h2", {}, "Next"), el("p", {}, el("b", {}, current.athlete)),
    el("p", {}, current.dive_number === null ? "" : `${current.dive_number} ${inWords(words(current.dive_number))}`));
}
