// Alerts at the top: what must not be overlooked, as long as it lasts.

import { $, ago, clock, el, rebuild, setText, sentence } from "./dom.js";
import { meetAlerts } from "./meet.js";
import { STANDSTILL_S, state } from "./state.js";

const LOW_MB = 2000;
const HOT_C = 90;

/** List what is wrong, worst first: {key, level: "bad" | "warn" | "info", title, text, since}. */
function alertsNow() {
  const { snapshot, connected, isOver, heardAt } = state;
  const found = [];
  if (!connected && isOver) {
    found.push(["over", "info", "This run is over.", "Its results are in its folder. The page comes back with the next run."]);
  } else if (!connected) {
    const text = heardAt === null ? "Connecting…" : `What you see is from ${clock(heardAt)}. Trying again…`;
    found.push(["line", heardAt === null ? "info" : "bad", "No connection to the scorer.", text]);
  }
  if (snapshot !== null) {
    if (connected) found.push(...ofSource(snapshot.source));
    found.push(...ofSession(snapshot), ...meetAlerts(snapshot));
  }
  return found.map(([key, level, title, text, since = null]) => ({ key, level, title, text, since }));
}

function ofSource(source) {
  const error = source.error ?? "";
  switch (source.state) {
    case "retrying":
      return [["source", "bad", "The camera is lost.", `${sentence(error)} Dives are missed until it is back.`, source.silent_s]];
    case "failed":
      return [["source", "bad", "The source failed.", error]];
    case "connecting":
      return [["source", "info", "Connecting to the camera…", error]];
    case "ended":
      return [["source", "info", "The source is over.", "All of its dives are listed here."]];
    case "closed":
      return [["source", "info", "The run is ending.", "Dives already seen are still scored."]];
    default:
      if (source.is_live && source.silent_s > STANDSTILL_S) {
        return [["source", "bad", "The picture stands still.", "The camera is connected but sends nothing.", source.silent_s]];
      }
      return [];
  }
}

function ofSession({ session, dives, health }) {
  const found = [];
  if (session.problem?.startsWith("the scorer failed")) {
    found.push(["scorer", "bad", "The scorer failed.", `${session.problem}. Dives are kept and can be scored again.`]);
  } else if (session.problem) {
    const text = `${session.problem}. They are kept in memory and tried again: do not switch off.`;
    found.push(["disk", "bad", "Results are not on the disk.", text]);
  }
  const last = dives.findLast((row) => row.status !== "void" && row.status !== "scoring");
  if (last?.status === "failed") {
    const text = `${last.reasons.join("; ")}. Where its frames were kept, it can be scored again.`;
    found.push([`failed-${last.number}`, "bad", `Dive ${last.number} could not be scored.`, text]);
  }
  if (health.disk_free_mb !== null && health.disk_free_mb < LOW_MB) {
    const text = `${Math.round(health.disk_free_mb)} MB are free. Make room soon.`;
    found.push(["space", health.disk_free_mb < LOW_MB / 4 ? "bad" : "warn", "The disk is nearly full.", text]);
  }
  if (health.temperature_c !== null && health.temperature_c >= HOT_C) {
    const text = "Near its limit a computer slows down. Give it shade and air.";
    found.push(["heat", "warn", `The computer has ${Math.round(health.temperature_c)} °C.`, text]);
  }
  return found;
}

/** Show what is wrong now. */
export function showAlerts() {
  const alerts = alertsNow();
  // Seconds count on without the message being read out again.
  rebuild($("alerts"), alerts.map(({ key, level, title, text }) => [key, level, title, text]), () =>
    alerts.map(({ key, level, title, text }) =>
      el("p", { class: `alert ${level}`, role: level === "info" ? "status" : "alert", "data-alert": key },
        el("strong", {}, title), " ", sentence(text), el("span", { class: "since", "aria-hidden": "true" }))));
  alerts.forEach(({ since }, index) => {
    setText($("alerts").children[index].querySelector(".since"), since === null ? "" : ago(since));
  });
  document.body.classList.toggle("offline", !state.connected && state.heardAt !== null);
}
