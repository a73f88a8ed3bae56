// A transparent page over a stream: who dives, and then the score with its interval and stages, beside the judges'.

import { STAGES } from "./charts.js";
import { connect, fetchDive } from "./connection.js";
import { $, capital, el, inWords, intervalWords, points, rebuild, signed } from "./dom.js";
import { state, words } from "./state.js";

const SHOWN_MS = 8000; // a score stays for so long, though the next diver is announced already
let record = null; // of the dive that is shown
let newest = { key: "", since: 0 };

/** Show the last dive until its score was there for a while and another diver is next; nothing while the line is broken. */
function show() {
  const { snapshot, connected } = state;
  $("overlay").hidden = !connected || snapshot === null;
  if ($("overlay").hidden) return;
  const { dives, current } = snapshot;
  const row = dives.findLast((dive) => ["scored", "held", "scoring"].includes(dive.status));
  const key = `${row?.number} ${row?.status}`;
  if (key !== newest.key) newest = { key, since: Date.now() };
  const wasSeen = row?.status === "scored" && Date.now() - newest.since > SHOWN_MS;
  const isNext = current !== null && (row === undefined || (current.order !== row.order && wasSeen));
  if (row !== undefined && !isNext && row.status === "scored") load(row);
  rebuild($("overlay"), [isNext ? current : row, record?.number, Boolean(record?.result), words((isNext ? current : row)?.dive_number)], () =>
    isNext ? [name(current)] : row === undefined ? [] : [name(row), ...scored(row)]);
  $("overlay").hidden = $("overlay").childElementCount === 0;
}

async function load(row) {
  if (record?.number === row.number && record.created === row.created) return;
  record = { number: row.number, created: row.created, result: null };
  const found = await fetchDive(row.number);
  if (record.number === row.number && found !== null) record = { ...record, created: row.created, result: found.result };
  show();
}

function name(who) {
  return el("div", { class: "who" }, el("p", { class: "athlete" }, who.athlete || `Dive ${who.number ?? who.order}`),
    el("p", { class: "dive" }, el("b", {}, who.dive_number ?? ""), ` ${inWords(words(who.dive_number))}`));
}

function scored(row) {
  if (row.status !== "scored") return [el("p", { class: "wait" }, row.status === "held" ? "Waiting for the judges" : "Scoring…")];
  const shares = (record?.number === row.number && record.result?.stage_shares) || {};
  return [
    el("div", { class: "scores" },
      el("p", { class: "score" }, el("small", {}, "Network"), el("b", {}, points(row.score))),
      row.judges === null ? null : el("p", { class: "score" }, el("small", {}, "Judges"), el("b", {}, points(row.judges.points)))),
    el("p", { class: "interval" }, intervalWords(row)),
    row.award ? el("p", { class: "interval award" }, row.award.text) : null,
    el("ol", {}, STAGES.map((stage, index) => (shares[stage] ?? null) === null ? null :
      el("li", { class: `stage${index}` }, capital(stage), el("b", {}, signed(shares[stage]))))),
    row.caution ? el("p", { class: "caution" }, row.caution) : null,
  ].filter(Boolean);
}

connect(show);
