// The meet: what its software announces, what the judges give, and how network and judges compare so far.

import { command } from "./connection.js";
import { $, ago, el, plural, points, rebuild, sentence, setText, signed } from "./dom.js";
import { state } from "./state.js";
import { attempt } from "./toast.js";

const PENALTIES = { restart: "restart", failed: "failed dive", wrong_position: "wrong position", arms: "arm position" };

/** Show the card of the meet; there is none where nobody listens to one. */
export function showMeet() {
  const { meet, meet_feed: feed } = state.snapshot;
  $("meet").hidden = !meet;
  document.body.classList.toggle("has-meet", Boolean(meet));
  if (!meet) return;
  rebuild($("meet-body"), [meet, feed?.unread, feed?.last_fault], () => [
    meet.event_name ? el("p", { class: "meet-event" }, meet.event_name) : null,
    comparison(meet.agreement),
    ...meet.open_questions.map((question) => el("p", { class: "remark warn" }, sentence(question))),
    ...meet.other_senders.map(otherSender),
    feed?.unread ? el("p", { class: "hint" }, `${plural(feed.unread, "packet")} could not be read; the last: ${feed.last_fault}.`) : null,
  ].flat().filter(Boolean));
  showHeard();
}

/** Say when the meet was heard last; counts on with every heartbeat. */
export function showHeard() {
  const { meet, meet_feed: feed } = state.snapshot;
  if (!meet) return;
  const text = !feed ? "Nobody listens to the meet in this run." : feed.last_heard === null
    ? `Event ${feed.event}: nothing heard yet.`
    : `Event ${feed.event}: heard ${ago(Math.max(0, (Date.now() - Date.parse(feed.last_heard)) / 1000))} ago from ${meet.sender ?? "another computer"}.`;
  setText($("meet-heard"), text);
}

function comparison({ dives, bias, mean_absolute_error: error, rank_correlation: order, left_out: leftOut }) {
  if (dives === 0) return el("p", { class: "empty" }, "No dive yet that both have scored.");
  const rows = [
    ["Dives compared", dives],
    ["Network less judges, mean", signed(bias)],
    ["Mean absolute error", points(error)],
    ["Rank correlation", order === null ? "from 3 dives on" : points(order, 2)],
  ];
  return [
    el("dl", { class: "agreement" }, rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    leftOut ? el("p", { class: "hint" }, `${plural(leftOut, "dive")} with a penalty left out: no picture shows it.`) : "",
  ];
}

function otherSender(sender) {
  const trust = () => attempt(() => command("trust_sender", { sender }), `${sender} is believed now.`);
  return el("div", { class: "remark warn" }, `${sender} sends about the meet too, and is not believed. `,
    el("button", { type: "button", "data-key": `trust-${sender}`, onclick: trust }, "Believe it instead"));
}

/** The judges' part of a dive: awards in a row, the cancelled ones struck through, and what else they say. */
export function judgesRow(row) {
  const { judges } = row;
  if (!judges) return null;
  const awards = judges.awards.map((award, index) =>
    el("li", { class: judges.cancelled[index] ? "cancelled" : null }, el("small", {}, judges.panel[index]), el("span", {}, String(award))));
  const isComparable = row.score !== null && row.status === "scored" && judges.penalty === null;
  const compared = !isComparable ? "" : `network ${signed(row.score - judges.points)}`;
  const facts = [compared, judges.rank === null ? "" : `rank ${judges.rank}`, judges.total === null ? "" : `total ${points(judges.total, 2)}`,
    judges.penalty === null ? "" : `penalty: ${PENALTIES[judges.penalty]}`];
  return el("div", { class: "judges" },
    awards.length === 0 ? null : el("ol", { class: "awards", "aria-label": "Judges' awards; those struck through are cancelled" }, awards),
    el("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
    ...judges.doubts.map((doubt) => el("p", { class: "remark warn" }, sentence(doubt))));
}

/** What must not be overlooked about the meet, as `alerts.js` lists it. */
export function meetAlerts({ meet, meet_feed: feed }) {
  const found = [];
  if (!meet || !feed) return found;
  if (feed.problem) found.push(["meet-feed", "bad", "The meet is not recorded.", feed.problem]);
  if (feed.last_heard === null) {
    const other = feed.other_event > 0 ? ` Only the other event is sent: this run listens to event ${feed.event}.` : "";
    found.push(["meet-silent", "info", "Nothing was heard from the meet yet.", `Listening at ${feed.address}.${other}${meet.hold_back ? " Scores are held back." : ""}`]);
  } else if (!meet.leads) {
    found.push(["meet-hand", "info", "You say whose turn it is.", "Until the meet's next announcement."]);
  }
  if (meet.other_senders.length > 0) found.push(["meet-senders", "warn", "More than one computer sends about the meet.", `Believed is ${meet.sender}.`]);
  const question = meet.open_questions.at(-1);
  if (question) found.push([`meet-${question}`, "warn", "A result is nobody's.", question]);
  return found;
}
