import assert from "node:assert/strict";
import test from "node:test";
import type { FluxObject } from "./cluster.ts";
import { FakeShell } from "./fake-shell.ts";
import { main } from "./main.ts";

type Condition = NonNullable<NonNullable<FluxObject["status"]>["conditions"]>[number];

const revision = `main@sha1:${"1".repeat(40)}`;
const since = "2023-11-14T22:00:00Z"; // 13m 20s before the shell's clock
const ready: Condition = { type: "Ready", status: "True", reason: "ReconciliationSucceeded", message: `Applied revision: ${revision}`, lastTransitionTime: since };
const notReady = (reason: string, message: string): Condition => ({ type: "Ready", status: "False", reason, message, lastTransitionTime: since });
const waitsFor = (name: string) => notReady("DependencyNotReady", `dependency 'apps/${name}' is not ready`);

const unit = (name: string, condition: Condition | undefined, { on = [], suspend = false, generation = 1, more = [] }: { on?: object[]; suspend?: boolean; generation?: number; more?: Condition[] } = {}): FluxObject => ({
  metadata: { name, namespace: "apps", generation },
  spec: { sourceRef: { kind: "GitRepository", name: "shop" }, ...(on.length > 0 && { dependsOn: on }), ...(suspend && { suspend }) },
  status: { observedGeneration: 1, lastAppliedRevision: revision, conditions: [...(condition ? [condition] : []), ...more] },
});
const source = (condition: Condition = { ...ready, message: "stored artifact" }, more: Partial<NonNullable<FluxObject["spec"]>> = {}, held = revision): FluxObject => ({
  metadata: { name: "shop", namespace: "apps", generation: 1 }, spec: more, status: { observedGeneration: 1, artifact: { revision: held }, conditions: [condition] },
});

async function why(units: FluxObject[], { sources = [source()], foreign = [], words = ["top"] }: { sources?: FluxObject[]; foreign?: FakeShell["foreign"]; words?: string[] } = {}) {
  const shell = new FakeShell();
  shell.objects = { GitRepository: sources, Kustomization: units };
  shell.foreign = foreign;
  const code = await main(["why", ...words, "-n", "apps"], shell);
  return { code, out: shell.stdout, err: shell.stderr, closed: shell.closed };
}

const failing = notReady("HealthCheckFailed", "Deployment/apps/db: timeout waiting for: [Deployment/apps/db status: 'InProgress']");
const chain = [
  unit("top", waitsFor("app"), { on: [{ name: "app" }] }), unit("app", waitsFor("base"), { on: [{ name: "other" }, { name: "base" }] }),
  unit("other", ready), unit("base", failing),
];

test("[CL30] the answer comes first, then the way to the cause with its times, then what to do", async () => {
  const { code, out, closed } = await why(chain);
  assert.deepEqual([code, closed], [1, 1]);
  assert.equal(out, `Kustomization/apps/top is blocked: Kustomization/apps/base fails

x Kustomization/apps/top  waits for 13m 20s  (DependencyNotReady)
|  dependency 'apps/app' is not ready
\`- x Kustomization/apps/app  waits for 13m 20s  (DependencyNotReady)
   |  dependency 'apps/base' is not ready
   \`- x Kustomization/apps/base  fails for 13m 20s  (HealthCheckFailed)
         Deployment/apps/db: timeout waiting for: [Deployment/apps/db status:
         'InProgress']

What to do
  Kustomization/apps/base: look at the named objects and their events
    kubectl -n apps describe kustomization base
    flotilla trace kustomization/apps/base
`);
});

test("[CL30] as JSON: whether it is blocked, the chain, and its causes", async () => {
  const { code, out } = await why(chain, { words: ["ks/top", "--json"] });
  const told = JSON.parse(out) as { blocked: boolean; causes: string[]; because: { object: string; because: { object: string; reason: string; since: string }[] }[] };
  assert.deepEqual([code, told.blocked, told.causes], [1, true, ["Kustomization/apps/base"]]);
  assert.deepEqual(told.because[0]?.because.map(({ object, reason, since: from }) => [object, reason, from]), [["Kustomization/apps/base", "HealthCheckFailed", since]]);
});

const deployment = (available: boolean) => ({
  apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "db", namespace: "apps", generation: 1 }, spec: { replicas: 1 },
  status: { observedGeneration: 1, replicas: 1, updatedReplicas: 1, ...(available && { readyReplicas: 1, availableReplicas: 1, conditions: [{ type: "Available", status: "True" }] }) },
} as unknown as FakeShell["foreign"][number]);
const onDb = [{ apiVersion: "apps/v1", kind: "Deployment", name: "db" }];
const stalled: Condition = { type: "Stalled", status: "True", reason: "DependencyCycle", message: "dependency cycle: apps/a → apps/top → apps/a" };

const cases: { what: string; units: FluxObject[]; more?: Parameters<typeof why>[1]; code?: number; says: RegExp[]; not?: RegExp }[] = [
  { what: "a unit that is ready", units: [unit("top", ready)], code: 0, says: [/^Kustomization\/apps\/top is ready: Applied revision: main@sha1:11111111\n$/] },
  { what: "one that is suspended", units: [unit("top", ready, { suspend: true })], says: [/top is suspended/, /flotilla resume/] },
  { what: "a dependency that is suspended", units: [unit("top", waitsFor("base"), { on: [{ name: "base" }] }), unit("base", ready, { suspend: true, generation: 2 })], says: [/blocked: Kustomization\/apps\/base is suspended/] },
  { what: "a dependency that is missing", units: [unit("top", waitsFor("base"), { on: [{ name: "base" }] })], says: [/blocked: Kustomization\/apps\/base is missing/] },
  { what: "an object of another kind", units: [unit("top", waitsFor("db"), { on: onDb })], more: { foreign: [deployment(false)] }, says: [/blocked: Deployment\/apps\/db is being worked on/, /kubectl -n apps describe deployment db/], not: /trace kustomization\/apps\/db/ },
  { what: "a wait that is just over", units: [unit("top", waitsFor("db"), { on: onDb })], more: { foreign: [deployment(true)] }, says: [/^Kustomization\/apps\/top waits\n/, /not ready/] },
  { what: "a cycle", units: [unit("top", notReady("DependencyCycle", "dependency cycle"), { on: [{ name: "top" }], more: [stalled] })], says: [/top is stalled/, /apps\/a → apps\/top → apps\/a/, /take one of the spec\.dependsOn/] },
  { what: "a chain that leads back, though nobody has said so yet", units: [unit("top", waitsFor("a"), { on: [{ name: "a" }] }), unit("a", waitsFor("top"), { on: [{ name: "top" }] })], says: [/apps\/a/] },
  { what: "a source that does not fetch", units: [unit("top", ready)], more: { sources: [source(notReady("GitOperationFailed", "no route to host"))] }, says: [/blocked: GitRepository\/apps\/shop fails/, /no route to host/] },
  { what: "a source that is missing", units: [unit("top", notReady("ArtifactFailed", "GitRepository/apps/shop not found"))], more: { sources: [] }, says: [/blocked: GitRepository\/apps\/shop is missing/] },
  { what: "a source that is suspended", units: [unit("top", ready)], more: { sources: [source(undefined, { suspend: true })] }, says: [/GitRepository\/apps\/shop is suspended/] },
  { what: "a build that fails", units: [unit("top", notReady("BuildFailed", "kustomization.yaml: no such file"))], says: [/top fails/, /no such file/] },
  { what: "a revision that is on its way", units: [unit("top", ready)], more: { sources: [source(undefined, {}, `main@sha1:${"2".repeat(40)}`)] }, says: [/being worked on/, /22222222 is fetched,\s+main@sha1:11111111/] },
  { what: "one that nobody has looked at", units: [unit("top", undefined)], says: [/not seen yet/, /does Flotilla run/] },
  { what: "an edit that nobody has looked at", units: [unit("top", ready, { generation: 2 })], says: [/newest specification/] },
];
for (const { what, units, more, code = 1, says, not } of cases)
  test(`[CL30] ${what}: exit code ${code}`, async () => {
    const told = await why(units, more);
    assert.equal(told.code, code);
    for (const each of says) assert.match(told.out, each);
    if (not) assert.doesNotMatch(told.out, not);
  });

test("[CL30] a name that is not there, and a kind that depends on nothing, are told", async () => {
  const missing = await why([], { words: ["nobody"] });
  assert.deepEqual([missing.code, /not found in namespace apps/.test(missing.err)], [1, true]);
  assert.equal((await why([], { words: ["source", "git", "shop"] })).code, 2);
  assert.equal((await why([], { words: [] })).code, 2);
});

test("[CL30] what others wrote into a condition cannot steer the terminal", async () => {
  const { out } = await why([unit("top", notReady("BuildFailed", "bad \u001b[2J thing"))]);
  assert.ok(!out.includes("\u001b"));
});

const release = (condition: Condition, valuesFrom: object[]): FluxObject => ({
  metadata: { name: "shop", namespace: "apps", generation: 1 }, spec: { chartRef: { kind: "OCIRepository", name: "chart" }, valuesFrom: valuesFrom as never },
  status: { observedGeneration: 1, conditions: [condition] },
});
async function whyRelease(one: FluxObject, sources: FluxObject[]) {
  const shell = new FakeShell();
  shell.objects = { HelmRelease: [one], GitRepository: sources, OCIRepository: [{ ...source(), metadata: { name: "chart", namespace: "apps", generation: 1 } }] };
  const code = await main(["why", "helmrelease", "shop", "-n", "apps"], shell);
  return { code, out: shell.stdout };
}
const file = (name: string, more: object = {}) => ({ kind: "GitRepository", name, valuesKey: "a.yaml", ...more });

test("[CL30] a release names the source that a file of its values is missing with; one that may be missing is passed over", async () => {
  const missing = notReady("ValuesError", "GitRepository/apps/fleet: could not find GitRepository 'apps/fleet'");
  const { code, out } = await whyRelease(release(missing, [file("fleet"), file("fleet", { valuesKey: "b.yaml" }), file("none", { optional: true }), { kind: "Secret", name: "s" }]), []);
  assert.equal(code, 1);
  assert.match(out, /^HelmRelease\/apps\/shop is blocked: GitRepository\/apps\/fleet is missing\n/);
  assert.match(out, /GitRepository\/apps\/fleet: create it, or correct spec\.valuesFrom/);
  assert.doesNotMatch(out, /none|Secret/);
  assert.equal((await whyRelease(release(ready, [file("none", { optional: true })]), [])).code, 0);
});

test("[CL30] a source of values that fails holds the release up though that is ready; a file that is missing is the release's own failure", async () => {
  const { out } = await whyRelease(release(ready, [file("shop")]), [source(notReady("GitOperationFailed", "no answer"))]);
  assert.match(out, /^HelmRelease\/apps\/shop is blocked: GitRepository\/apps\/shop fails\n/);
  const own = await whyRelease(release(notReady("ValuesError", "GitRepository apps/shop, file a.yaml: there is no such file"), [file("shop")]), [source()]);
  assert.match(own.out, /^HelmRelease\/apps\/shop fails\n/);
  assert.match(own.out, /there is no such file/);
});
