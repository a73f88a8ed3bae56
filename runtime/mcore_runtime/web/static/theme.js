// Dark, light, or as the device says; remembered on this device.

import { $, setText } from "./dom.js";

const THEMES = { auto: "Auto", dark: "Dark", light: "Light" };

function remembered() {
  try {
    return localStorage.getItem("mcore-theme");
  } catch {
    return null; // private windows may forbid it
  }
}

function set(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText($("theme"), `◐ ${THEMES[theme]}`);
  $("theme").setAttribute("aria-label", `Colours: ${THEMES[theme]}`);
  try {
    localStorage.setItem("mcore-theme", theme);
  } catch {
    // then it is for this visit only
  }
}

export function wireTheme() {
  let theme = Object.hasOwn(THEMES, remembered() ?? "") ? remembered() : "auto";
  set(theme);
  $("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    set(theme);
  });
}
