// Dialogs: editing an entry, giving a dive to another athlete, stopping the run.

import { command } from "./connection.js";
import { $, el, setText } from "./dom.js";
import { state } from "./state.js";

/** Make every dialog's buttons work. */
export function wireDialogs() {
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  $("stop").addEventListener("click", () => ask($("stop-dialog"), () => command("stop")));
}

/** Show a dialog; its first submit button calls `act`, and a fault keeps it open. */
function ask(dialog, act) {
  const form = dialog.querySelector("form");
  const fault = dialog.querySelector(".fault");
  setText(fault, "");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const button = form.querySelector(".primary");
    button.disabled = true;
    try {
      await act(new FormData(form));
      dialog.close();
    } catch (error) {
      setText(fault, error.message);
    } finally {
      button.disabled = false;
    }
  };
  dialog.showModal();
}

/** Edit an entry of the start list. */
export function editEntry(entry) {
  const fields = $("edit-dialog").querySelector("form").elements;
  setText($("edit-title"), `Edit entry ${entry.order}`);
  const before = {
    athlete: entry.athlete,
    club: entry.club,
    dive_number: entry.dive_number ?? "",
    difficulty: entry.difficulty === null ? "" : entry.difficulty.toFixed(1),
  };
  for (const [name, value] of Object.entries(before)) fields[name].value = value;
  ask($("edit-dialog"), async (form) => {
    const changes = {};
    for (const [name, old] of Object.entries(before)) {
      const text = form.get(name).trim();
      if (text !== old) changes[name] = ["dive_number", "difficulty"].includes(name) && text === "" ? null : text;
    }
    if (typeof changes.difficulty === "string") {
      changes.difficulty = Number(changes.difficulty.replace(",", "."));
      if (!Number.isFinite(changes.difficulty)) throw new Error("The difficulty is a number, such as 3.2.");
    }
    if (Object.keys(changes).length > 0) await command("edit", { order: entry.order, ...changes });
  });
}

/** Say for which entry a dive was made. */
export function assignDive(row) {
  const select = $("assign-dialog").querySelector("select");
  const options = state.snapshot.start_list.map((entry) =>
    el("option", { value: entry.order, selected: entry.order === row.order },
      `${entry.order}. ${entry.athlete}, ${entry.dive_number ?? "dive unknown"}`));
  select.replaceChildren(el("option", { value: "" }, "Nobody on the start list"), ...options);
  setText($("assign-title"), `Whose dive was number ${row.number}?`);
  ask($("assign-dialog"), (form) => {
    const order = form.get("order");
    return command("assign", { number: row.number, order: order === "" ? null : Number(order) });
  });
}
