/** A JSON line per scenario on stdout, with what is needed to compare it with another run; progress on stderr. */
import { execFileSync } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { rounded } from "./meters.ts";

export const say = (line: string): void => console.error(line);

const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8" }).trim();
const commit = `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain") === "" ? "" : "+changes"}`;
let loadBefore = loadavg()[0] ?? 0;

export function print(scenario: string, figures: Record<string, number>): void {
  const [load = 0] = loadavg();
  console.log(JSON.stringify({
    scenario, ...figures, date: new Date().toISOString(), commit, cores: cpus().length,
    load_1m_before: rounded(loadBefore, 2), load_1m_after: rounded(load, 2),
    node: process.versions.node, kubernetes: "1.37.2", nats: "2.15.2",
  }));
  loadBefore = load;
}
