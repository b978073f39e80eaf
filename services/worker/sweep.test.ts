import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import test from "node:test";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { Delivered } from "#services/store/mail.ts";
import { Process, VirtualTime } from "../../test/simulate/time.ts";
import { Sweep, type SweepPorts } from "./sweep.ts";

const places = { before: { digest: "sha256:1", path: "gitrepository/apps/shop/1.tar.gz" }, after: { digest: "sha256:2", path: "gitrepository/apps/shop/2.tar.gz" } };
const unit = (name: string): ActorKey => ({ kind: "kustomization", namespace: "apps", name });
const hint = (key: ActorKey, body: object = { revision: "main@sha1:2", ...places.after, before: places.before }, seq = 1): Delivered => ({ key, kind: "artifact", body, seq });

/** A worker whose units build the directory that bears their name. */
function stage(changedDirectories: SweepPorts["changedDirectories"]) {
  const time = new VirtualTime();
  const told: string[] = [];
  const sweep = new Sweep({
    clock: new Process(time, "w").clock, changedDirectories,
    object: ({ namespace, name }) => (name === "unseen" ? undefined : { metadata: { namespace, name }, spec: { path: `./units/${name}/` } }),
    deliver: ({ key }) => void told.push(key.name),
  });
  return { sweep, told, run: (ms: number) => time.run(ms, () => false) };
}
const differ = (...names: string[]) => async () => new Set(["", "units", ...names.map((name) => `units/${name}`)]);
const many = Array.from({ length: 40 }, (_, i) => `u${i}`);

test("[SW1] a unit in whose directory a file changed is told at once, the others a few at a time as those before them rest", async () => {
  const { sweep, told } = stage(differ("u30"));
  for (const name of many) assert.equal(sweep.take(hint(unit(name))), true);
  await turn();
  assert.equal(told.length, 17);
  assert.ok(told.includes("u30"));
  for (let i = 0; i < told.length; i++) sweep.rests(unit(told[i] ?? ""));
  assert.deepEqual(told.toSorted(), many.toSorted(), "each once");
});

test("[SW1] whoever is told by way of the source's owner is told in that order too", async () => {
  const { sweep } = stage(differ("u2"));
  const names = async (body: unknown) => (await sweep.inOrder(["u1", "u2", "unseen"].map(unit), body)).map(({ name }) => name);
  assert.deepEqual(await names(hint(unit("u1")).body), ["u2", "unseen", "u1"]);
  assert.deepEqual(await names({ before: 7 }), ["u1", "u2", "unseen"]);
});

test("[SW2] units that never rest hold up the others for a moment only", async () => {
  const { sweep, told, run } = stage(differ());
  for (const name of many) sweep.take(hint(unit(name)));
  await turn();
  assert.equal(told.length, 16);
  await run(10_000);
  assert.deepEqual(told.toSorted(), many.toSorted());
});

const unsortable: { what: string; changed: SweepPorts["changedDirectories"]; name?: string; body?: object; taken: boolean }[] = [
  { what: "artifacts that cannot be compared", changed: () => Promise.reject(new Error("lost")), taken: true },
  { what: "artifacts that take long to compare", changed: () => new Promise(() => {}), taken: true },
  { what: "a unit that is not shown", changed: differ(), name: "unseen", taken: true },
  { what: "the first artifact of a source", changed: differ(), body: { revision: "main@sha1:2", ...places.after }, taken: false },
  { what: "a body that is not as it should be", changed: differ(), body: { before: 7 }, taken: false },
];
for (const { what, changed, name = "u1", body, taken } of unsortable)
  test(`[SW3] where it cannot be told whom a change concerns, all are told: ${what}`, async () => {
    const { sweep, told, run } = stage(changed);
    assert.equal(sweep.take(hint(unit(name), body)), taken);
    await run(3_000);
    assert.deepEqual(told, taken ? [name] : []);
  });

test("[SW4] later news take the place of earlier ones that wait, and what waits in a partition that went is dropped", async () => {
  const { sweep, told } = stage(differ("late"));
  for (const name of many) sweep.take(hint(unit(name)));
  await turn();
  const waiting = many.find((name) => !told.includes(name)) ?? "";
  sweep.take(hint(unit(waiting), undefined, 2));
  const dropped = many.findLast((name) => !told.includes(name)) ?? "";
  sweep.drop(partitionOf(unit(dropped)));
  for (let i = 0; i < told.length; i++) sweep.rests(unit(told[i] ?? ""));
  await turn();
  for (let i = 0; i < told.length; i++) sweep.rests(unit(told[i] ?? ""));
  assert.equal(told.filter((name) => name === waiting).length, 1);
  assert.ok(!told.includes(dropped));
});

test("[SW4] earlier news that come late do not take the place of later ones", async () => {
  const { sweep, told } = stage(differ());
  for (const name of many) sweep.take(hint(unit(name), undefined, 2));
  await turn();
  const waiting = many.find((name) => !told.includes(name)) ?? "";
  assert.equal(sweep.take(hint(unit(waiting), {}, 1)), true);
  await turn();
  assert.ok(!told.includes(waiting), "what is later still waits");
});

test("[SW1] what is no news of an artifact, or not for a unit, is not sorted", () => {
  const { sweep } = stage(differ());
  assert.equal(sweep.take({ ...hint(unit("u1")), kind: "look" }), false);
  assert.equal(sweep.take(hint({ ...unit("u1"), kind: "helmchart" })), false);
});

const release = (name: string): ActorKey => ({ kind: "helmrelease", namespace: "apps", name });
const file = (name: string, valuesKey: string, namespace?: string) => ({ kind: "GitRepository", name, valuesKey, ...(namespace && { namespace }) });

function stageOfReleases(specs: Record<string, object>, ...changed: string[]) {
  const told: string[] = [];
  const sweep = new Sweep({
    clock: new Process(new VirtualTime(), "w").clock, changedDirectories: differ(...changed),
    object: ({ namespace, name }) => ({ metadata: { namespace, name }, spec: specs[name] ?? { valuesFrom: [file("shop", `units/${name}/values.yaml`)] } }),
    deliver: ({ key, body }) => void told.push(`${key.name} ${(body as { path: string }).path.split("/")[2]}`),
  });
  return { sweep, told };
}

test("[SW1] a release is told at once when a file changed beside its values, or when that cannot be told: of its chart, or another source", async () => {
  const specs = {
    chart: { chartRef: { kind: "GitRepository", name: "shop" }, valuesFrom: [file("shop", "units/none/values.yaml")] },
    another: { valuesFrom: [file("shop", "units/none/values.yaml", "elsewhere")] },
    second: { valuesFrom: [{ kind: "Secret", name: "shop" }, file("shop", "units/none/a.yaml"), file("shop", "./units//u30/b.yaml")] },
    root: { valuesFrom: [file("shop", "values.yaml")] },
  };
  const { sweep, told } = stageOfReleases(specs, "u30");
  for (const name of many) assert.equal(sweep.take(hint(release(name))), true);
  for (const name of Object.keys(specs)) sweep.take(hint(release(name)));
  await turn();
  for (const name of ["u30", ...Object.keys(specs)]) assert.ok(told.includes(`${name} shop`), name);
  assert.equal(told.length, 16 + 5);
});

test("[SW4] news of one source do not take the place of another's", async () => {
  const { sweep, told } = stageOfReleases({}, "none");
  for (const name of many) sweep.take(hint(release(name)));
  await turn();
  const waiting = many.find((name) => !told.includes(`${name} shop`)) ?? "";
  const other = { before: { digest: "sha256:1", path: "ocirepository/apps/chart/1.tgz" }, digest: "sha256:2", path: "ocirepository/apps/chart/2.tgz", revision: "1.1.0" };
  sweep.take(hint(release(waiting), other, 2));
  await turn();
  assert.deepEqual(told.filter((each) => each.startsWith(`${waiting} `)), [`${waiting} shop`, `${waiting} chart`]);
});
