// Ranking and start list.

import { command } from "./connection.js";
import { editEntry } from "./dialogs.js";
import { $, cautionOf, el, points, rebuild } from "./dom.js";
import { state } from "./state.js";
import { attempt } from "./toast.js";

const MARKS = { done: "✓", skipped: "skipped", waiting: "" };

export function showLists() {
  const { ranking, start_list: entries, current, dives } = state.snapshot;
  $("ranking").hidden = $("start-list").hidden = entries.length === 0;
  document.body.classList.toggle("no-list", entries.length === 0);
  const caution = dives.findLast((row) => row.status === "scored" && row.caution)?.caution;
  rebuild($("ranking-body"), [ranking, caution], () => [cautionOf({ caution }), rankingTable(ranking)].filter(Boolean));
  const scores = new Map(dives.map((row) => [row.number, row]));
  const rows = entries.map((entry) => {
    const dive = scores.get(entry.dive);
    return [entry, dive?.score ?? null, dive?.status, dive?.award?.value ?? null, dive?.judges?.points ?? null];
  });
  const fresh = rebuild($("start-body"), [rows, current?.order], () => startRows(rows, current));
  if (fresh && current !== null) reveal($("start-body"), current.order);
}

/** The ranking as a table; at most `limit` rows. */
export function rankingTable(ranking, limit = Infinity) {
  if (ranking.length === 0) return el("p", { class: "empty" }, "No scores yet.");
  const head = el("tr", {}, el("th", { scope: "col" }, el("span", { class: "unseen" }, "Rank")), el("th", { scope: "col" }, "Athlete"),
    el("th", { scope: "col", class: "number" }, "Dives"), el("th", { scope: "col", class: "number" }, "Points"));
  const rows = ranking.slice(0, limit).map((row) =>
    el("tr", {}, el("td", { class: "rank" }, row.rank),
      el("th", { scope: "row" }, row.athlete, row.club ? el("small", {}, row.club) : ""),
      el("td", { class: "number soft" }, row.dives), el("td", { class: "number total" }, points(row.total))));
  return el("table", {}, el("thead", {}, head), el("tbody", {}, rows));
}

function startRows(rows, current) {
  const list = el("ol", { class: "entries" });
  let round = null;
  for (const [entry, score, status, award, judges] of rows) {
    if (entry.round !== null && entry.round !== round) {
      round = entry.round;
      list.append(el("li", { class: "round" }, `Round ${round}`));
    }
    list.append(startRow(entry, score, status, award, judges, entry.order === current?.order));
  }
  return list;
}

function startRow(entry, score, status, award, judges, isCurrent) {
  const result = score !== null && status !== "unlike" ? points(score) : status !== undefined ? status : MARKS[entry.state];
  const number = entry.dive_number ?? "dive unknown";
  return el("li", { class: isCurrent ? "current" : entry.state, "aria-current": isCurrent ? "true" : null, "data-order": entry.order },
    el("span", { class: "order" }, entry.order),
    el("span", { class: "who", title: entry.club }, el("b", {}, entry.athlete),
      el("small", {}, [number, entry.height_m && `${entry.height_m}\u00a0m`, entry.difficulty?.toFixed(1)].filter(Boolean).join(" · "))),
    el("span", { class: "result" }, isCurrent && status === undefined ? "next" : result,
      award === null ? null : el("small", {}, `award ${points(award)}`),
      judges === null ? null : el("small", {}, `judges ${points(judges)}`)),
    el("span", { class: "row-tools" },
      isCurrent ? null : el("button", {
        type: "button", class: "quiet", "data-key": `go-${entry.order}`, title: "Make this the next dive",
        "aria-label": `Go to entry ${entry.order}, ${entry.athlete}`,
        onclick: () => attempt(() => command("go_to", { order: entry.order })),
      }, "Go to"),
      el("button", {
        type: "button", class: "quiet", "data-key": `edit-${entry.order}`, "aria-label": `Edit entry ${entry.order}, ${entry.athlete}`,
        onclick: () => editEntry(entry),
      }, "Edit")));
}

/** Scroll within the list only, and only where its row is out of sight. */
function reveal(box, order) {
  const row = box.querySelector(`[data-order="${order}"]`);
  if (row === null || box.scrollHeight <= box.clientHeight) return;
  const top = row.offsetTop - box.offsetTop;
  box.scrollTop = Math.max(0, top - box.clientHeight / 3);
}
