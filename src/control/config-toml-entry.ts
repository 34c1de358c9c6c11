// The Worker that reads one long text of TOML (config-toml-aside.ts).

import { readTomlData } from "./config-toml.ts";

declare const self: Worker;

self.onmessage = ({ data: text }: MessageEvent<string>) => {
  self.postMessage(readTomlData(text));
};
