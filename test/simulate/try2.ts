import { subject } from "#protocol/names/subject.ts";
import { writeScript, line, shrink } from "./script.ts";
import { World } from "./world.ts";
const M = { worker: ({cell}) => { cell.send = (hint) => cell.enqueue([{ subject: subject.mailbox(hint.to, hint.kind), data: JSON.stringify(hint.body), ttlSeconds: 86400 }]); } };
const first = Number(process.env["SEED"] ?? 1), n = Number(process.env["SEEDS"] ?? 1);
const t0 = performance.now(); let bad = 0, steps = 0;
for (let seed = first; seed < first + n; seed++) {
  const w = new World(writeScript(seed), M); await w.run(); steps += w.time.steps;
  if (w.violations.length) {
    bad++; console.log(seed, w.violations[0], w.time.clockText);
    if (n === 1) {
      const rule = w.violations[0].rule;
      let last = w;
      const s = process.env["SHRINK"] ? await shrink(writeScript(seed), async (x) => { const y = new World(x, M); await y.run(); const f = y.violations[0]?.rule === rule; if (f) last = y; return f; }, 60) : writeScript(seed);
      console.log(s.steps.map(line).join("\n")); console.log(last.lines.slice(-Number(process.env["LINES"] ?? 60)).join("\n"));
    }
  } else if (n === 1) console.log(w.lines.slice(-40).join("\n"), "ok", w.time.clockText, w.time.steps);
}
console.log({ bad, n, ms: Math.round(performance.now() - t0), cpuMs: Math.round(process.cpuUsage().user / 1000), steps });
