// The line to the scorer: news through a WebSocket that comes back by itself, commands and records through HTTP.

import { sentence } from "./dom.js";
import { state } from "./state.js";

const SILENCE_MS = 4500; // the scorer says something every second
const MIN_DELAY_MS = 400;
const MAX_DELAY_MS = 4000;
const GOING_AWAY = 1001;

let socket = null;
let delay = MIN_DELAY_MS;
let watchdog = 0;
let timer = 0;
let changed = () => {};

/** Connect, and call `onChange(what)` after every message and whenever the line breaks or comes back. */
export function connect(onChange) {
  changed = onChange;
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !state.connected) open();
  });
  window.addEventListener("online", open);
  open();
}

function open() {
  clearTimeout(timer);
  if (socket !== null && socket.readyState <= WebSocket.OPEN) return;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const mine = new WebSocket(`${scheme}://${location.host}/api/events`);
  socket = mine;
  mine.onmessage = (event) => take(JSON.parse(event.data));
  mine.onclose = (event) => {
    if (socket === mine) lost(event.code === GOING_AWAY);
  };
  watch();
}

function watch() {
  clearTimeout(watchdog);
  const mine = socket;
  watchdog = setTimeout(() => {
    // A line that died without a word: closing it properly could take minutes.
    if (socket !== mine) return;
    mine.onclose = mine.onmessage = null;
    mine.close();
    lost(false);
  }, SILENCE_MS);
}

function take(message) {
  watch();
  delay = MIN_DELAY_MS;
  const back = !state.connected;
  Object.assign(state, { connected: true, heardAt: Date.now(), isOver: false });
  if (message.type === "snapshot") {
    state.snapshot = message.snapshot;
  } else if (message.type === "heartbeat" && state.snapshot !== null) {
    const { source, detector, health, problem, meet_feed } = message;
    Object.assign(state.snapshot, { source, detector, health, meet_feed });
    state.snapshot.session.problem = problem;
  }
  changed(back ? "back" : message.type);
}

function lost(isOver) {
  clearTimeout(watchdog);
  socket = null;
  Object.assign(state, { connected: false, isOver: state.isOver || isOver });
  changed("lost");
  timer = setTimeout(retry, delay);
  delay = Math.min(2 * delay, MAX_DELAY_MS);
}

async function retry() {
  // Ask first: a failed WebSocket does not say that one has to log in again.
  try {
    const answer = await fetch("/login", { method: "HEAD", redirect: "manual", cache: "no-store" });
    if (answer.type !== "opaqueredirect") {
      location.reload();
      return;
    }
  } catch {
    timer = setTimeout(retry, delay);
    delay = Math.min(2 * delay, MAX_DELAY_MS);
    return;
  }
  open();
}

/** Send a command; throws an Error whose message is for people. */
export async function command(name, values = {}) {
  let answer;
  try {
    answer = await fetch("/api/command", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name, ...values }),
    });
  } catch {
    throw new Error("The scorer cannot be reached: nothing was changed.");
  }
  if (answer.status === 401) location.reload();
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.error ? sentence(body.error) : `The scorer refused (${answer.status}).`);
  }
}

/** Fetch the whole record of a dive; null where it cannot be had now. */
export async function fetchDive(number) {
  try {
    const answer = await fetch(`/api/dives/${number}`, { cache: "no-store" });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
