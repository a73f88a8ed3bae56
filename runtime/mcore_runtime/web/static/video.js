// The video of a dive: slowly, and from where a stage begins.

import { $, el, setText } from "./dom.js";

const RATES = [1, 0.5, 0.25];
const LEAD_S = 0.15; // a stage is seen to begin

/** Show a dive's video; `record` is its whole record. */
export function playVideo(record) {
  const dialog = $("video-dialog");
  const video = dialog.querySelector("video");
  setText($("video-title"), `Dive ${record.number}${record.athlete ? `, ${record.athlete}` : ""}`);
  video.src = `/api/dives/${record.number}/clip.mp4?v=${encodeURIComponent(record.created)}`;
  const offset = record.recording_start_s === null ? 0 : Math.max(0, record.start_s - record.recording_start_s);
  const times = record.result === null ? [] : record.result.transitions_s;
  const places = [["Start", offset], ...["Flight", "Entry"].slice(0, times.length).map((name, i) => [name, offset + times[i]])];
  $("video-jumps").replaceChildren(...places.map(([name, at]) =>
    el("button", { type: "button", onclick: () => { video.currentTime = Math.max(0, at - LEAD_S); } }, name)));
  const buttons = RATES.map((rate) =>
    el("button", { type: "button", "aria-pressed": "false", onclick: () => setRate(rate) }, rate === 1 ? "1×" : `${rate}×`));
  function setRate(rate) {
    video.playbackRate = video.defaultPlaybackRate = rate;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(RATES[i] === rate)));
  }
  $("video-rates").replaceChildren(...buttons);
  setRate(matchMedia("(prefers-reduced-motion: reduce)").matches ? 0.25 : 0.5);
  dialog.onclose = () => {
    video.pause();
    video.removeAttribute("src");
    video.load();
  };
  dialog.showModal();
  video.play().catch(() => {}); // a browser may want another click first
}
