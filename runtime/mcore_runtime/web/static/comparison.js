// Comparison of a dive with its closest exemplar: the same points of the same stages, whichever of the two is faster.

import { STAGES } from "./charts.js";
import { capital, el, points } from "./dom.js";

const STEP_MS = 420;
let shown = { number: 0, index: 0 };
let timer = 0;

/** Both dives with a slider over their moments; null: there are no pictures of one of them. */
export function exemplarComparison(record) {
  clearInterval(timer);
  const both = record.comparison;
  if (both === null || record.result === null) return null;
  const exemplar = record.result.exemplars[0];
  const count = both.dive_s.length;
  const perStage = count / STAGES.length;
  shown.index = Math.min(shown.index, count - 1);
  if (shown.number !== record.number) shown = { number: record.number, index: count - perStage }; // the entry

  const mine = picture("This dive", points(record.result.score));
  const other = picture("Exemplar", `${exemplar.dive_number === record.dive_number ? "" : `${exemplar.dive_number} · `}${points(exemplar.score)}`, both.exemplar);
  const slider = el("input", { type: "range", min: 0, max: count - 1, step: 1, "data-key": "comparison-slider", "aria-label": "Moment of the dive" });
  const stage = el("b", { class: "comparison-stage" });
  const play = el("button", { type: "button", class: "quiet", "data-key": "comparison-play" }, "Play");

  const show = (index) => {
    shown.index = index;
    slider.value = index;
    const name = STAGES[Math.floor(index / perStage)];
    stage.textContent = capital(name);
    stage.className = `comparison-stage edge${Math.floor(index / perStage)}`;
    slider.setAttribute("aria-valuetext", `${name}, ${both.dive_s[index].toFixed(2)} seconds`);
    mine.show(address(record, "dive", index), both.dive_s[index]);
    other.show(address(record, "exemplar", index), both.exemplar_s[index]);
  };
  const pause = () => {
    clearInterval(timer);
    play.textContent = "Play";
  };
  const go = () => {
    for (let i = 0; i < count; i += 1) for (const which of ["dive", "exemplar"]) new Image().src = address(record, which, i);
    if (shown.index === count - 1) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      if (!play.isConnected) pause();
      else show(shown.index + 1);
      if (shown.index === count - 1) pause();
    }, STEP_MS);
  };
  slider.addEventListener("input", () => {
    pause();
    show(Number(slider.value));
  });
  play.addEventListener("click", () => (play.textContent === "Play" ? go() : pause()));
  show(shown.index);
  return el("section", { class: "comparison", "aria-label": "Beside the closest exemplar" },
    el("div", { class: "comparison-pictures" }, mine.figure, other.figure),
    el("div", { class: "comparison-tools" }, play, slider, stage));
}

const address = (record, which, index) => `/api/dives/${record.number}/comparison/${which}/${index}.jpg?v=${encodeURIComponent(record.created)}`;

function picture(title, score, name = "") {
  const image = el("img", { alt: "", width: 240, height: 135 });
  const time = el("span", { class: "comparison-time" });
  return {
    figure: el("figure", { title: name || null }, image, el("figcaption", {}, el("b", {}, title), el("span", {}, score), time)),
    show(source, seconds) {
      image.src = source;
      time.textContent = `${seconds.toFixed(2)} s`;
    },
  };
}
