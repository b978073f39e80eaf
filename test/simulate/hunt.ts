import { mutants } from "./mutants.ts";
import { writeScript } from "./script.ts";
import { World } from "./world.ts";
const only = process.env["ONLY"]; const n = Number(process.env["SEEDS"] ?? 100);
for (const m of mutants.filter((x) => !only || x.name.includes(only))) {
  let hit = "";
  const t = process.cpuUsage().user;
  let i = 1;
  for (; i <= n && !hit; i++) {
    const script = writeScript(i);
    const w = new World(m.tune?.(script) ?? script, m); await w.run();
    const v = w.violations.find(({ rule }) => m.rules.includes(rule));
    if (v) hit = `${i} ${v.rule} ${v.text.slice(0, 110)}`;
    else if (w.violations.length) console.log("  otherwise", i, w.violations[0]!.rule, w.violations[0]!.text.slice(0, 100));
  }
  console.log(hit ? "killed" : "ALIVE ", "|", m.name, "|", hit, "|", Math.round((process.cpuUsage().user - t) / 1000));
}
