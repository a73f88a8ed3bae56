// Two small drawings: what the exemplars predict, and where the points come from.

import { capital, el, points, signed, svg } from "./dom.js";

export const STAGES = ["take-off", "flight", "entry"];
const MIN_SHARE = 2; // points at the end of the axis at least: tenths should not look dramatic
const WIDTH = 420;

/** Each exemplar's prediction as a dot, the interval as a band, the score as a line. */
export function predictionsChart(result) {
  const predicted = result.exemplars.map((exemplar) => exemplar.predicted_score);
  const ends = result.low === null ? [] : [result.low, result.high];
  const least = Math.min(...predicted, ...ends, result.score);
  const most = Math.max(...predicted, ...ends, result.score);
  const margin = Math.max(1, 0.08 * (most - least));
  const x = (value) => 12 + ((value - least + margin) / (most - least + 2 * margin)) * (WIDTH - 24);
  const band = result.low === null ? [] : [
    svg("rect", { class: "band", x: x(result.low), y: 16, width: Math.max(1, x(result.high) - x(result.low)), height: 24, rx: 5 }),
    label(x(result.low), points(result.low), "end"),
    label(x(result.high), points(result.high), "start"),
  ];
  return svg("svg", { viewBox: `0 0 ${WIDTH} 62`, role: "img", class: "predictions", "aria-label": `Scores predicted from ${predicted.length} exemplars` },
    svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: 28, y2: 28 }), band,
    predicted.map((value) => svg("circle", { class: "mark", cx: x(value), cy: 28, r: 4.5 })),
    svg("line", { class: "score-line", x1: x(result.score), x2: x(result.score), y1: 8, y2: 48 }));
}

function label(x, text, anchor) {
  // A text that would leave the picture changes sides.
  const side = anchor === "end" && x < 40 ? "start" : anchor === "start" && x > WIDTH - 40 ? "end" : anchor;
  return svg("text", { x: x + (side === "end" ? 12 : -12), y: 60, "text-anchor": side }, text);
}

/** Bars to the right (better than an average exemplar) and left (worse), and the sum they make. */
export function stageBars(result) {
  const shares = STAGES.map((stage) => result.stage_shares?.[stage] ?? null);
  const predicted = result.exemplars.reduce((sum, exemplar) => sum + exemplar.predicted_score, 0) / result.exemplars.length;
  const average = STAGES.reduce((left, stage) => left - result.stage_deltas[stage], predicted);
  const scale = 50 / Math.max(MIN_SHARE, ...shares.map(Math.abs));
  const rows = STAGES.map((stage, index) => {
    if (shares[index] === null) return null;
    const bar = el("span", { class: `share stage${index}` });
    bar.style.width = `${Math.max(0.5, Math.abs(shares[index]) * scale)}%`;
    bar.style[shares[index] >= 0 ? "left" : "right"] = "50%";
    return el("tr", {}, el("th", { scope: "row" }, capital(stage)), el("td", { class: "bar-cell" }, el("span", { class: "bar-axis" }, bar)),
      el("td", { class: "number" }, signed(shares[index])));
  });
  const rest = result.score - average - shares.reduce((sum, share) => sum + (share ?? 0), 0);
  const hidden = shares.filter((share) => share === null).length;
  const frame = (name, value, kind) => el("tr", { class: kind }, el("th", { scope: "row", colspan: 2 }, name), el("td", { class: "number" }, value));
  return el("table", { class: "stages" },
    el("caption", { class: "unseen" }, "Points by stage, compared with an average exemplar"),
    el("tbody", {}, frame("An average exemplar", points(average), "from"), rows,
      !hidden ? null : frame(hidden === STAGES.length ? "Difference" : "Other stages", signed(rest), "rest"), frame("This dive", points(result.score), "sum")));
}
