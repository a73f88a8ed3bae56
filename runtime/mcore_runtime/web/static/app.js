// The page poolside: listens to the scorer and shows what it says. No other site is ever asked for anything.

import { showAlerts } from "./alerts.js";
import { showBig, wireBig } from "./big.js";
import { connect } from "./connection.js";
import { wireDialogs } from "./dialogs.js";
import { showDive } from "./dive.js";
import { $, points, setText } from "./dom.js";
import { showHealth } from "./health.js";
import { showLists } from "./lists.js";
import { showHeard, showMeet } from "./meet.js";
import { restartPicture, showNow, wireNow } from "./now.js";
import { state, words } from "./state.js";
import { wireTheme } from "./theme.js";

let announced = null;

function show(what) {
  showAlerts();
  if (what === "back" || what === "lost") restartPicture();
  for (const control of document.querySelectorAll("#trigger, #stop")) control.disabled = !state.connected;
  if (state.snapshot === null) return;
  showNow();
  showHealth();
  showHeard();
  if (what === "heartbeat") return;
  setText($("session-name"), state.snapshot.session.name || "MCoRe live");
  showDive();
  showLists();
  showMeet();
  showBig();
  announce();
}

/** Tell those who listen instead of looking; once for every score. */
function announce() {
  const row = state.snapshot.dives.findLast((dive) => !["scoring", "held"].includes(dive.status));
  const heard = row === undefined ? "" : `${row.number} ${row.created} ${row.status}`;
  const isFirst = announced === null;
  if (announced === heard) return;
  announced = heard;
  if (isFirst || row === undefined) return; // a page that was just opened reads nothing out
  const who = row.athlete || `dive ${row.number}`;
  const text = row.status === "scored" ? `${who}, ${words(row.dive_number) || "dive number unknown"}: ${points(row.score)} points` : `${who}: ${row.status}`;
  setText($("announcer"), text);
  document.title = row.status === "scored" ? `${points(row.score)} ${who} · MCoRe live` : "MCoRe live";
}

wireTheme();
wireDialogs();
wireNow();
wireBig();
connect(show);
