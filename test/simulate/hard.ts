import * as h from "./hardships.ts";
import { writeScript, line, shrink } from "./script.ts";
import { World } from "./world.ts";
const only = process.env["ONLY"]; const n = Number(process.env["SEEDS"] ?? 30), first = Number(process.env["SEED"] ?? 1);
const tunes: Record<string, any> = { zombies: h.zombies, crashes: h.crashes, meddling: h.meddling, silence: h.silence, manyRequests: h.manyRequests, departures: h.departures, refusals: h.refusals };
for (const [name, tune] of Object.entries(tunes).filter(([x]) => !only || x === only)) {
  let bad = 0;
  for (let seed = first; seed < first + n; seed++) {
    const w = new World(tune(writeScript(seed))); await w.run();
    if (w.violations.length) { bad++; console.log(name, seed, w.violations[0]);
    if (n === 1) { let last = w; const rule = w.violations[0]!.rule;
      const s = process.env["SHRINK"] ? await shrink(tune(writeScript(seed)), async (x) => { const y = new World(x); await y.run(); const f = y.violations[0]?.rule === rule; if (f) last = y; return f; }, 40) : null;
      if (s) console.log(s.steps.map(line).join("\n")); console.log(last.lines.slice(-Number(process.env["LINES"] ?? 40)).join("\n")); } }
  }
  console.log(name, bad, "of", n);
}
