/**
 * A release with one line of safety taken out, each in its own way. Whatever leaves the simulation green shows that nothing
 * would notice the line missing.
 */
process.env["PARTITIONS"] ??= "8";
await import("./partitions.ts");
await import("./virtual.ts");
import assert from "node:assert/strict";
import test from "node:test";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { Inspected } from "#protocol/messages/release.ts";
import type { KubeClient, KubeRequest } from "#services/clients/kubernetes/client.ts";
import type { Interruption } from "./script.ts";
import type { Parts, SimulatedWorkerOptions } from "./worker.ts";
import type { Mutation } from "./world.ts";

const { World } = await import("./world.ts");
const { lifeOf, lives } = await import("./release-lives.ts");
const { releasing } = await import("./release-scripts.ts");
const { writeScript } = await import("./script.ts");

type Mutant = Mutation & {
  name: string;
  /** By one of these it has to be caught. */
  rules: string[];
} & ({
  life: keyof typeof lives;
  how: Interruption["how"];
  /** The write at which something has to happen to the owner so that it is noticed: tried first. */
  write: number;
} | { /** Of a random life in which it is noticed: tried first. */ seed: number });

const mutants: Mutant[] = [
  { name: "a hook is made without asking for the lease", rules: ["OW9", "OW3"], life: "install", how: "stops before", write: 3, client: onRequest((asked) => (isJob(asked) ? { ...asked, guard: () => {} } : asked)) },
  { name: "a revision is stored without asking for the lease", rules: ["OW9", "OW3"], life: "upgrade", how: "stops before", write: 1, client: onRequest((asked) => (isStorage(asked) && asked.guard ? { ...asked, guard: () => {} } : asked)) },
  { name: "an object is applied without asking for the lease", rules: ["OW9", "OW3"], life: "upgrade", how: "stops before", write: 5, client: onRequest((asked) => (asked.method === "PATCH" && asked.guard && asked.path.includes("/configmaps/") ? { ...asked, guard: () => {} } : asked)) },
  { name: "an object is deleted without asking for the lease", rules: ["OW9", "OW3"], life: "uninstall", how: "stops before", write: 5, client: onRequest((asked) => (asked.method === "DELETE" && asked.guard ? { ...asked, guard: () => {} } : asked)) },
  { name: "a begun revision passes for a failed one of nobody's", rules: ["HR12", "RL2", "HR1"], seed: 4, worker: onLast(({ intent: _, ...last }) => ({ ...last, status: last.status.startsWith("pending-") ? "failed" : last.status })) },
  { name: "a revision is stored after its objects", rules: ["RL20"], life: "install", how: "stops", write: 0, client: early },
  { name: "what was deployed is superseded last", rules: ["RL2"], life: "upgrade", how: "stops", write: 0, client: late((asked) => statusIn(asked) === "superseded") },
  { name: "a pending revision passes for a failed one", rules: ["HR12", "HR1", "RL2"], life: "a revision that helm left pending", how: "stops", write: 0, worker: onInspected((status) => (status.startsWith("pending-") ? "failed" : status)) },
  { name: "whose decision made a revision is not asked", rules: ["HR12"], life: "install", how: "dies after", write: 4, client: onAnswer((object) => ({ ...object, metadata: { ...object.metadata, annotations: {} } })) },
  { name: "revisions are written whatever they have become", rules: ["RL2", "RL20", "HR12"], life: "upgrade", how: "stops", write: 2, conditions: { resourceVersion: false } },
  { name: "how far the hooks are is not kept", rules: ["RL20"], life: "upgrade", how: "dies after", write: 9, client: onRequest(withoutStage) },
  { name: "nobody looks for what comes late", rules: ["FN16"], life: "upgrade", how: "late", write: 10, worker: ({ ports }) => {
    const { perform } = ports;
    ports.perform = (src, call) => (src === "sweep" ? Promise.resolve(null) : perform(src, call));
  } },
  { name: "a deleted release does not wait until nothing can come late", rules: ["FN17", "HR12"], life: "an install whose object is deleted", how: "late", write: 1, worker: ({ host }) => {
    const deliver = host.deliver.bind(host);
    host.deliver = (key, event, hint) => { if (event.type !== "recovered") deliver(key, event, hint); };
  } },
];

test("without this line of a release something is noticed", async (t) => {
  for (const mutant of mutants)
    await t.test(`${mutant.rules.map((rule) => `[${rule}]`).join(" ")} ${mutant.name}`, async (each) => {
      const [known, count, scriptOf] = "seed" in mutant
        ? [mutant.seed, mostSeeds, (seed: number) => releasing(writeScript(seed))] as const
        : [mutant.write, mostWrites, (write: number) => lifeOf(lives[mutant.life], mutant.how, write)] as const;
      const tried = [known, ...Array.from({ length: count }, (_, i) => i + 1).filter((n) => n !== known)];
      for (const n of tried) {
        const world = new World(scriptOf(n), mutant);
        await world.run();
        const caught = world.violations.find(({ rule }) => mutant.rules.includes(rule));
        if (!caught) continue;
        each.diagnostic(`caught in life ${n}: [${caught.rule}] ${caught.text}`);
        return;
      }
      assert.fail(`alive after ${tried.length} lives`);
    });
  for (const { name, why } of alive) t.diagnostic(`not noticed: ${name} (${why})`);
});

/** Lines that can be missing without anybody noticing, because another one does their work as well. */
const alive = [
  { name: "a hook of a wary action goes at once", why: "who goes on with a revision is wary by itself" },
];

const mostWrites = 8;
const mostSeeds = 40;
const lateMs = 1_500;

type ClientOf = NonNullable<SimulatedWorkerOptions["client"]>;

const isStorage = ({ path }: KubeRequest): boolean => /\/secrets(?:\/|$)/.test(path);
const isJob = ({ method, path, guard }: KubeRequest): boolean => method !== "GET" && guard !== undefined && path.includes("/jobs/");
const statusIn = ({ body }: KubeRequest): string | undefined => (body as KubeObject | undefined)?.metadata?.labels?.["status"];

/** Writes an object of the release before its revision is stored. */
function early(client: KubeClient): KubeClient {
  return {
    ...client,
    async request<T>(asked: KubeRequest) {
      const { guard } = asked;
      const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "r-x", namespace: "apps", resourceVersion: "1", labels: { "helm.toolkit.fluxcd.io/name": "r", "helm.toolkit.fluxcd.io/namespace": "apps" } } };
      if (asked.method === "POST" && isStorage(asked))
        await client.request({ method: "PATCH", path: "/api/v1/namespaces/apps/configmaps/r-x", contentType: "application/apply-patch+yaml", query: { fieldManager: "helm-controller" }, body, guard });
      return client.request<T>(asked);
    },
  };
}

function onRequest(change: (asked: KubeRequest) => KubeRequest): ClientOf {
  return (client) => ({ ...client, request: (asked) => client.request(change(asked)) });
}

/** Writes to storage that are answered before they are sent. */
function late(isMeant: (asked: KubeRequest) => boolean): ClientOf {
  return (client, process) => ({
    ...client,
    async request<T>(asked: KubeRequest) {
      if (!asked.guard || !isStorage(asked) || !isMeant(asked)) return client.request<T>(asked);
      void process.sleep(lateMs).then(() => client.request(asked)).catch(() => undefined);
      const { metadata, ...object } = asked.body as KubeObject;
      return { code: 200, serverMs: process.clock.nowMs(), body: { ...object, metadata: { uid: "uid", resourceVersion: "1", ...metadata } } as T };
    },
  });
}

/** What storage says of a revision, one by one or in a list. */
function onAnswer(change: (object: KubeObject) => KubeObject): ClientOf {
  return (client: KubeClient) => ({
    ...client,
    async request<T>(asked: KubeRequest) {
      const answer = await client.request<T>(asked);
      if (asked.method !== "GET" || !isStorage(asked)) return answer;
      const { items } = answer.body as { items?: KubeObject[] };
      return { ...answer, body: (items ? { ...answer.body, items: items.map(change) } : change(answer.body as KubeObject)) as T };
    },
  });
}

function withoutStage(asked: KubeRequest): KubeRequest {
  const { metadata, data, ...object } = (asked.body ?? { metadata: { name: "" } }) as KubeObject;
  const { "flotilla.dev/stage": stage, ...others } = metadata?.annotations ?? {};
  return stage === undefined || !isStorage(asked) ? asked : { ...asked, body: { ...object, data, metadata: { ...metadata, annotations: others } } };
}

function onInspected(change: (status: string) => string): (parts: Parts) => void {
  return onLast((last) => ({ ...last, status: change(last.status) }));
}

type Last = NonNullable<Inspected["last"]>;

/** What is found of the newest revision. */
function onLast(change: (last: Last) => Omit<Last, "status"> & { status: string }): (parts: Parts) => void {
  return ({ ports }) => {
    const { perform } = ports;
    ports.perform = async (src, call) => {
      const outcome = await perform(src, call);
      const { last } = (src === "inspect" ? outcome : {}) as Partial<Inspected>;
      return last ? { ...(outcome as Inspected), last: change(last) } : outcome;
    };
  };
}
