// Percentile curves: of a suite that times single frames, one picture for each subject's group (`vhost-user, 50 % load`), a line for each
// system: tails to the right. Histograms of a system's rounds are added up. Pure.
//
//   us │           ╭──
//      │    ╭──────╯        both axes logarithmic
//      └─┬────┬────┬────┬
//        1    10  100  1000      one frame of so many is slower: 100 is the 99th percentile

import { init } from "echarts";
import { decodeFromCompressedBase64, type Histogram } from "hdr-histogram-js";
import type { Sample } from "./suite.ts";

const WIDTH = 800;
const HEIGHT = 480;
const LEGEND_GAP = 40;
/** Points of a curve: up to one of 10,000, ten to a power of ten. */
const POINTS = 41;
const POINTS_A_POWER = 10;

interface Curve {
  /** `vhost-user, 50 % load` */
  name: string;
  svg: string;
}

/** Curves of those samples that carry histograms. */
export function curvesOf(samples: readonly Sample[], colours: readonly string[]): Curve[] {
  const timed = samples.filter(({ histogram }) => histogram !== undefined);
  const groups = [...Map.groupBy(timed, ({ subject }) => subject.slice(0, subject.lastIndexOf(", ")))];
  return groups.map(([group, ofGroup]) => ({
    name: group,
    svg: draw(group, ofGroup, colours),
  }));
}

function draw(group: string, samples: readonly Sample[], colours: readonly string[]): string {
  const bySystem = [...Map.groupBy(samples, ({ system }) => system)];
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
  chart.setOption({
    animation: false,
    title: { text: group, subtext: "round trips of all rounds", left: "center" },
    legend: { bottom: 0, data: bySystem.map(([system]) => system), itemGap: LEGEND_GAP },
    grid: { top: 70, bottom: 70, left: 70, right: 30 },
    xAxis: { type: "log", min: 1, name: "one frame of so many is slower", nameLocation: "middle", nameGap: 24 },
    yAxis: { type: "log", name: "us" },
    series: bySystem.map(([system, ofSystem], k) => ({
      type: "line",
      name: system,
      data: points(sum(ofSystem)),
      showSymbol: false,
      color: colours[k % colours.length],
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

function sum(samples: readonly Sample[]): Histogram {
  const [first, ...others] = samples.map(({ histogram }) => decodeFromCompressedBase64(histogram as string));
  for (const other of others) first.add(other);
  return first;
}

/** [how many frames there is one slower than this among, microseconds] */
function points(times: Histogram): [number, number][] {
  const ofSoMany = Array.from({ length: POINTS }, (_, n) => 10 ** (n / POINTS_A_POWER));
  return ofSoMany.map((count) => [count, times.getValueAtPercentile(100 - 100 / count) / 1000]);
}
