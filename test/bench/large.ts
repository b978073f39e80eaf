/** One Kustomization of very many objects. */
import { appName, gitRepository, kustomization, namespace } from "./fleet.ts";
import { rounded, type Reading } from "./meters.ts";
import { print, say } from "./report.ts";
import { flotilla, withUp } from "./up.ts";

const objects = Number(process.env["OBJECTS"] ?? 5_000);
const perFile = 100;
const patience = 900_000;

const configMap = (i: number, size: string) =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: large-${i}, namespace: ${namespace} }\ndata: { colour: blue, size: "${size}" }\n`;

/** `changed`: the one object that is not as the others. */
function files(changed = -1): Record<string, string> {
  const made: Record<string, string> = {};
  for (let from = 0; from < objects; from += perFile)
    made[`apps/${appName(0)}/part-${from}.yaml`] = Array.from({ length: Math.min(perFile, objects - from) }, (_, i) => configMap(from + i, from + i === changed ? "8" : "4")).join("---\n");
  return made;
}

export const runLarge = (): Promise<void> => withUp(flotilla, async ({ server, observer, meter, announce, allReady }) => {
  const cost = (before: Reading, after: Reading, ms: number) => ({
    objects, seconds: rounded(ms / 1000, 2), requests: after.requests - before.requests, worker_cpu_s: rounded((after.cpuMs - before.cpuMs) / 1000, 2), rss_mb: rounded(after.rssMb),
  });
  const step = async (scenario: string, commit: () => Promise<string>) => {
    const before = await meter();
    const head = await commit();
    await announce();
    const ms = await observer.until(scenario, allReady(1, head), patience);
    print(scenario, cost(before, await meter(), ms));
  };
  say(`one unit of ${objects} objects`);
  await step("large-install", async () => {
    const head = await server.commit("fleet", { files: files(), message: "one large unit" });
    await observer.create(gitRepository(server.repoUrl("fleet")));
    await observer.create(kustomization(0));
    return head;
  });
  await step("large-nothing", () => server.commit("fleet", { files: { "README.md": "elsewhere" }, message: "nothing of it" }));
  await step("large-one", () => server.commit("fleet", { files: files(objects >> 1), message: "one object" }));
});
