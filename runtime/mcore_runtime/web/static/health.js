// How machine and stream are doing, in figures.

import { $, el, rebuild } from "./dom.js";
import { state } from "./state.js";

const unknown = (value) => value === null || value === undefined;
const whole = (value, unit) => (unknown(value) ? "–" : `${Math.round(value)} ${unit}`);

export function showHealth() {
  const { source, health, session } = state.snapshot;
  const times = health.time_to_score_ms;
  const drops = source.frames === 0 ? "" : ` (${((100 * source.dropped) / (source.frames + source.dropped)).toFixed(1)} %)`;
  const ms = (name, value) => (unknown(value) ? [] : [`${name} ${Math.round(value)}`]);
  const waits = [...ms("median", times.p50), ...ms("90 %", times.p90), ...ms("99 %", times.p99), ...ms("longest", times.max)];
  const rows = [
    ["Time from last frame to score", waits.length === 0 ? "–" : `${waits.join(" · ")} ms`, "wide"],
    ["Rate of the source", unknown(source.frames_per_second) ? "–" : `${source.frames_per_second.toFixed(1)} fps`],
    ["Dropped", `${source.dropped}${drops}`],
    ["Reconnects", `${Math.max(0, source.connections - 1)}`],
    ["Clips waiting", `${health.queue}`],
    ["Processor", whole(health.cpu_percent, "%")],
    ["Memory", whole(health.memory_mb, "MB")],
    ["Disk free", unknown(health.disk_free_mb) ? "–" : `${(health.disk_free_mb / 1000).toFixed(1)} GB`],
    ["Temperature", whole(health.temperature_c, "°C")],
    ["Power", unknown(health.power_w) ? "–" : `${health.power_w.toFixed(1)} W${health.power_source ? ` (${health.power_source})` : ""}`],
    ["Backend", `${session.backend}, ${session.precision}`],
  ];
  rebuild($("health-list"), rows, () => rows.map(([name, value, kind]) => el("div", { class: kind }, el("dt", {}, name), el("dd", {}, value))));
}
