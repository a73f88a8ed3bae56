// What the page knows. The scorer is the only source; nothing here is kept when the page is closed.

/** A live camera that sends nothing for so many seconds shows a picture that stands still. */
export const STANDSTILL_S = 3;

export const state = {
  snapshot: null, // the scorer's own, see docs/reference/http-api.md
  connected: false,
  isOver: false, // the scorer said good-bye
  heardAt: null, // when it was last heard, ms
  shown: null, // the dive that was chosen; null: always the latest
};

/** The row of the dive that is to be shown; undefined: there is none. */
export function shownRow() {
  const dives = state.snapshot?.dives ?? [];
  if (state.shown !== null) {
    const chosen = dives.find((row) => row.number === state.shown);
    if (chosen) return chosen;
  }
  // A dive that is just being scored shows in its place for a moment only; what people read stays until then.
  return dives.findLast((row) => row.status !== "scoring") ?? dives.at(-1);
}

export const words = (number) => state.snapshot?.dive_words?.[number] ?? "";
// With the rules that give it; a difficulty that no rules give stands alone.
export const difficultyWords = (number, difficulty) =>
  state.snapshot?.difficulty_words?.[number]?.[difficulty] ?? `difficulty\u00a0${difficulty}`;
