/**
 * `npm run bench [-- scenario …]`: a JSON line per scenario on stdout, progress on stderr; docs/bench/README.md explains
 * them. Each group sets up what its scenarios share.
 */
import { buildPrograms } from "../../deploy/local/programs.ts";
import { provideAll } from "../../deploy/local/tools.ts";
import { say } from "./report.ts";

type Group = { scenarios: string[]; load: () => Promise<(runs: (scenario: string) => boolean) => Promise<void>> };

const groups: Group[] = [
  { scenarios: ["install", "idle", "touch", "push", "drift", "memory"], load: async () => (await import("./single.ts")).runSingle },
  { scenarios: ["fleet"], load: async () => (await import("./thousand.ts")).runThousand },
  { scenarios: ["chain"], load: async () => (await import("./chain.ts")).runChain },
  { scenarios: ["large"], load: async () => (await import("./large.ts")).runLarge },
  { scenarios: ["sources-shared", "sources-oci", "sources-fetch"], load: async () => (await import("./sources.ts")).runSources },
  { scenarios: ["image"], load: async () => (await import("./image.ts")).runImage },
  { scenarios: ["image-update"], load: async () => (await import("./image-update.ts")).runImageUpdate },
  { scenarios: ["releases"], load: async () => (await import("./releases.ts")).runReleases },
  { scenarios: ["helm-engine"], load: async () => (await import("./helm-engine.ts")).runHelmEngine },
  { scenarios: ["handoff"], load: async () => (await import("./handoff.ts")).runHandoff },
  { scenarios: ["failover"], load: async () => (await import("./failover.ts")).runFailover },
  { scenarios: ["residence"], load: async () => (await import("./residence.ts")).runResidence },
  { scenarios: ["scale"], load: async () => (await import("./scale.ts")).runScale },
];

const all = groups.flatMap(({ scenarios }) => scenarios);
const wanted = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const unknown = wanted.filter((word) => !all.includes(word));
if (unknown.length > 0) {
  console.error(`no such scenario: ${unknown.join(", ")}. There are: ${all.join(", ")}`);
  process.exit(2);
}
const runs = (name: string) => wanted.length === 0 || wanted.includes(name);

await provideAll(say);
await buildPrograms(say);
for (const { scenarios, load } of groups) if (scenarios.some(runs)) await (await load())(runs);
