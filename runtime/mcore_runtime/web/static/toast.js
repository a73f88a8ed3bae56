// A short word about what was done, or why not.

import { $, setText } from "./dom.js";

let timer = 0;

/** Show a message for some seconds; a fault stays longer. */
export function toast(text, isFault = false) {
  const box = $("toast");
  box.hidden = false;
  box.className = isFault ? "bad" : "";
  setText(box, text);
  clearTimeout(timer);
  timer = setTimeout(() => {
    box.hidden = true;
  }, isFault ? 9000 : 3500);
}

/** Do something that may be refused, and say how it went; resolves to whether it was done. */
export async function attempt(action, done = "") {
  try {
    await action();
    if (done) toast(done);
    return true;
  } catch (error) {
    toast(error.message, true);
    return false;
  }
}
