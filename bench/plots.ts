// Results as pictures: one for each suite and unit, a group of bars for each subject, a bar for each system (its median) with a line from
// its least to its greatest round. SVG for documents, PNG for everything else.

import { writeFileSync } from "node:fs";
import { Resvg } from "@resvg/resvg-js";
import { type CustomSeriesRenderItemAPI, type CustomSeriesRenderItemReturn, init } from "echarts";
import { curvesOf } from "./curves.ts";
import type { SuiteResult } from "./report.ts";
import { OURS, type SubjectSummary } from "./stats.ts";

const WIDTH = 1000;
const HEIGHT = 480;
const SUBJECT_WIDTH = 90;
const WHISKER = 4;
const LEGEND_GAP = 40;
const COLOURS = ["#0b6e4f", "#9aa5b1", "#c77d0a", "#5c6bc0", "#ad1457", "#00838f"];

export interface Plot {
  /** `vhost-user-mpps` */
  name: string;
  svg: string;
}

/** The plots of a suite's results; none where nothing was measured. Percentiles of single frames are curves, the others bars. */
export function plotsOf({ suite, summaries, samples }: SuiteResult): Plot[] {
  const curves = curvesOf(samples, COLOURS).map(({ name, svg }) => ({ name: fileName(suite, name), svg }));
  const curved = new Set(samples.filter(({ histogram }) => histogram !== undefined).map(({ unit }) => unit));
  const byUnit = [...Map.groupBy(summaries, ({ unit }) => unit)].filter(([unit]) => !curved.has(unit));
  const bars = byUnit.map(([unit, ofUnit]) => ({ name: fileName(suite, unit), svg: draw(suite, unit, ofUnit) }));
  return [...bars, ...curves];
}

/** Writes a plot as FOLDER/NAME.svg and .png. */
export function writePlot(folder: string, { name, svg }: Plot): void {
  writeFileSync(`${folder}/${name}.svg`, svg);
  const image = new Resvg(svg, { background: "white", fitTo: { mode: "zoom", value: 2 } }).render();
  writeFileSync(`${folder}/${name}.png`, image.asPng());
}

function fileName(suite: string, unit: string): string {
  return `${suite}-${unit}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
}

function draw(suite: string, unit: string, summaries: readonly SubjectSummary[]): string {
  const found = [...new Set(summaries.flatMap(({ systems }) => Object.keys(systems)))];
  const systems = found.sort((a, b) => Number(b === OURS) - Number(a === OURS));
  const width = Math.max(WIDTH, summaries.length * SUBJECT_WIDTH);
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height: HEIGHT });
  const numbers = (system: string, of: "median" | "min" | "max") =>
    summaries.map((summary) => summary.systems[system]?.[of] ?? Number.NaN);
  chart.setOption({
    animation: false,
    title: { text: `${suite}: ${unit}`, subtext: "median of the rounds, line from least to greatest", left: "center" },
    // Without a canvas the widths of letters are guesses.
    legend: { bottom: 0, data: systems, itemGap: LEGEND_GAP },
    grid: { top: 70, bottom: 70, left: 70, right: 30 },
    xAxis: {
      type: "category",
      data: summaries.map(({ subject }) => subject),
      axisLabel: { interval: 0, hideOverlap: false, width: SUBJECT_WIDTH, overflow: "break" },
    },
    yAxis: { type: "value", name: unit },
    series: systems.flatMap((system, k) => [
      {
        type: "bar",
        name: system,
        data: numbers(system, "median"),
        itemStyle: { color: COLOURS[k % COLOURS.length] },
      },
      {
        type: "custom",
        name: `${system}, spread`,
        data: summaries.map((_, s) => [s, numbers(system, "min")[s], numbers(system, "max")[s]]),
        renderItem: (_: unknown, api: CustomSeriesRenderItemAPI) => whisker(api, systems.length, k),
        z: 10,
      },
    ]),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

/** A line from least to greatest, in the middle of bar `k` of `count`. */
function whisker(api: CustomSeriesRenderItemAPI, count: number, k: number): CustomSeriesRenderItemReturn {
  const [subject, least, greatest] = [0, 1, 2].map((column) => api.value(column) as number);
  const place = api.barLayout({ count })?.[k];
  if (Number.isNaN(least) || place === undefined) return null;
  const [centre, low] = api.coord([subject, least]);
  const [, high] = api.coord([subject, greatest]);
  const x = centre + place.offsetCenter;
  const line = (x1: number, y1: number, x2: number, y2: number) => ({
    type: "line" as const,
    shape: { x1, y1, x2, y2 },
    style: { stroke: "#222", lineWidth: 1.2 },
  });
  return {
    type: "group",
    children: [
      line(x, low, x, high),
      line(x - WHISKER, low, x + WHISKER, low),
      line(x - WHISKER, high, x + WHISKER, high),
    ],
  };
}
