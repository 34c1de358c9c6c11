// The results of `ringyard bench` as text. Pure.

import type { Speed } from "../control/speed.ts";
import { STAGES } from "../control/stage-costs.ts";
import { table } from "./output.ts";

export function speedText({ costs, latencies }: Speed): string {
  const titles = ["NS/FRAME", ...STAGES.map((stage) => stage.toUpperCase()), "FRAMES/S", "GBIT/S"];
  const rows = costs.map(({ rules, size, stages, totalNs }) => [
    `${size} B${rules > 0 ? `, ${rules} rules` : ""}`,
    totalNs.toFixed(1),
    ...STAGES.map((stage) => stages[stage].toFixed(1)),
    `${(1000 / totalNs).toFixed(1)} M`,
    ((size * 8) / totalNs).toFixed(1),
  ]);
  const text = table([{ title: "ONE WORKER" }, ...titles.map((title) => ({ title, right: true }))], rows);
  if (latencies === undefined) return `${text}\nno latency: the worker and the sender would share one processor\n`;
  const columns = ["P50 US", "P99 US", "FRAMES"].map((title) => ({ title, right: true }));
  const delays = latencies.map(({ frames, p50Us, p99Us, poll }) => [poll, p50Us.toFixed(1), p99Us.toFixed(1), frames]);
  return `${text}\n${table([{ title: "LATENCY" }, ...columns], delays)}`;
}
