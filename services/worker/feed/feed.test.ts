/** The feed in virtual time: one watcher, several readers, and a bus between them that loses, delays and forgets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { actorId, parseActorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { MemoryExchange, memoryBus } from "../../../test/simulate/memory-bus.ts";
import { seeded, type Random } from "../../../test/simulate/random.ts";
import { Process, VirtualTime } from "../../../test/simulate/time.ts";
import { referencesOf } from "../references.ts";
import { partitionsOfManaged } from "./contents.ts";
import { SampleHub, managedId } from "./sample-hub.ts";
import { View } from "./view.ts";
import { Watching } from "./watching.ts";

const kustomizations = { kind: "kustomization" };
const quiet = { debug() {}, error() {} };
const units = Array.from({ length: 12 }, (_, i): ActorKey => ({ kind: "kustomization", namespace: "apps", name: `unit-${i}` }));
const partitions = [...new Set(units.map(partitionOf))];
const names = Array.from({ length: 20 }, (_, i) => `map-${i}`);

type Fate = { lossShare: number; lateMs: number };

/** One life of one worker's process. */
class Reader {
  readonly process: Process;
  readonly stop = new AbortController();
  readonly view: View;
  readonly watching: Watching;
  readonly port: ReturnType<SampleHub["port"]>;
  /** The last version of an object that this worker knows. */
  readonly known = new Map<string, number>();
  followed = new Set<number>();

  constructor(world: World, name: string) {
    const { time, hub, exchange, random } = world;
    this.process = new Process(time, name);
    const { process } = this;
    const bus = memoryBus(exchange, {
      client: name, clock: process.clock,
      later: (inMs, run) => time.in(inMs, run),
      enter: (run) => process.enter(run),
      deliverMs: () => (random.chance(world.fate.lossShare) ? undefined : random.between(0, world.fate.lateMs)),
    });
    this.port = hub.port(process, time, () => random.between(0, world.fate.lateMs));
    this.watching = new Watching({ port: this.port, bus, clock: process.clock, worker: name, guard() {}, shards: () => [], log: quiet });
    this.view = new View({
      bus, clock: process.clock, worker: name, signal: this.stop.signal, log: quiet,
      requests: { get: (key) => new Promise((resolve) => { time.in(random.between(0, 50), () => process.enter(() => resolve(hub.flux.get(actorId(key))))); }) },
      onObject: (key, object) => {
        const id = actorId(key);
        if (object) this.known.set(id, Number(object.metadata.resourceVersion));
        else {
          const left = hub.leftAt.get(id) ?? 0;
          if (left <= (this.known.get(id) ?? 0)) world.wrong.push(`${name}: ${id} went at ${left}, known since ${this.known.get(id)}`);
          this.known.delete(id);
        }
      },
      onShown() {},
      onRelisted() {},
      onStorage() {},
    });
    this.view.managed.of(kustomizations).subscribe({
      change: ({ id, now }) => {
        if (now) this.known.set(id, Number(now.resourceVersion));
        else if ((hub.leftAt.get(id) ?? 0) <= (this.known.get(id) ?? 0)) world.wrong.push(`${name}: ${id} is said to be gone at ${world.time.clockText}, left ${hub.leftAt.get(id)}, known ${this.known.get(id)}`);
      },
      synced() {},
    });
    void this.view.managed.of(kustomizations).ensureEntries([{ id: managedId("x"), v: "v1" }, { id: managedId("x", "Nothing"), v: "v1" }]);
  }

  follow(wanted: Iterable<number>): void {
    this.followed = new Set(wanted);
    this.view.follow(this.followed);
  }

  /** What a request of ours returned. */
  took(key: ActorKey, world: World, how: "wrote" | "read"): void {
    const object = world.hub.flux.get(actorId(key));
    if (!object || !this.followed.has(partitionOf(key))) return;
    this.view.take(key, object, how);
    this.known.set(actorId(key), Math.max(Number(object.metadata.resourceVersion), this.known.get(actorId(key)) ?? 0));
  }
}

class World {
  readonly time = new VirtualTime();
  readonly hub = new SampleHub();
  readonly exchange = new MemoryExchange();
  readonly random: Random;
  readonly wrong: string[] = [];
  readonly readers = new Map<string, Reader>();
  fate: Fate = { lossShare: 0, lateMs: 1 };
  watcher = "";

  constructor(seed: number) {
    this.random = seeded(seed);
    this.hub.absentKinds.add("/Nothing");
  }

  open(name: string): Reader {
    const reader = new Reader(this, name);
    this.readers.set(name, reader);
    reader.view.watchedBy(this.watcher || undefined);
    return reader;
  }

  reader(name: string): Reader {
    const found = this.readers.get(name);
    assert.ok(found);
    return found;
  }

  watchBy(name: string): void {
    this.watcher = name;
    for (const [each, { watching, view, process }] of this.readers) {
      if (each !== name && process.state === "running") watching.stop();
      view.watchedBy(name);
    }
    this.reader(name).watching.start().catch(() => undefined);
  }

  /** Changes nothing where one watches: a new watcher would make good whatever went wrong before. */
  ensureWatcher(): void {
    for (const { view } of this.readers.values()) view.watchedBy(this.watcher);
    this.reader(this.watcher).watching.start().catch(() => undefined);
  }

  /** Killed, and started again under the same name. */
  restart(name: string): void {
    const before = this.reader(name);
    before.process.kill();
    this.exchange.drop(name);
    const { followed } = before;
    this.open(name).follow(followed);
    if (name === this.watcher) this.reader(name).watching.start().catch(() => undefined);
  }

  run(ms: number): Promise<void> {
    return this.time.run(ms, () => false);
  }

  /** What a reader's view and the hub say of its partitions. */
  compare(name: string): { is: unknown; should: unknown } {
    const { view, followed } = this.reader(name);
    const flux = (get: (key: ActorKey) => { metadata: { resourceVersion?: string } } | undefined) =>
      units.filter((key) => get(key)).map((key) => [actorId(key), get(key)?.metadata.resourceVersion]);
    const managed = (get: (id: string) => { owner: string; resourceVersion: string } | undefined) =>
      names.map((each) => managedId(each)).filter((id) => get(id)).map((id) => [id, get(id)?.owner, get(id)?.resourceVersion]);
    const ours = (id: string) => {
      const record = this.hub.managed.get(id);
      return record && partitionsOfManaged(record).some((partition) => followed.has(partition)) ? record : undefined;
    };
    const inputs = (key: ActorKey) => {
      const object = followed.has(partitionOf(key)) ? this.hub.flux.get(actorId(key)) : undefined;
      return (object ? referencesOf(key, object) : []).flatMap((id) => (this.hub.references.has(id) ? [[id, this.hub.references.get(id)]] : []));
    };
    return {
      is: [units.map((key) => Object.entries(view.flux.inputsOf(key))), flux((key) => view.flux.get(key)), managed((id) => view.managed.of(kustomizations).get(id))],
      should: [units.map(inputs), flux((key) => (followed.has(partitionOf(key)) ? this.hub.flux.get(actorId(key)) : undefined)), managed(ours)],
    };
  }
}

const references = ["ConfigMap/apps/one", "ConfigMap/apps/two", "ConfigMap/apps/three"];
const workers = ["w1", "w2", "w3"];

const steps: Record<string, (world: World, random: Random) => void> = {
  put: ({ hub }, random) => {
    const substituteFrom = references.filter(() => random.chance(0.4)).map((id) => ({ kind: "ConfigMap", name: id.split("/")[2] }));
    hub.put(random.pick(units), { n: random.between(0, 9), postBuild: { substituteFrom } });
  },
  putReference: ({ hub }, random) => hub.putReference(random.pick(references)),
  removeReference: ({ hub }, random) => hub.removeReference(random.pick(references)),
  remove: ({ hub }, random) => hub.remove(random.pick(units)),
  putManaged: ({ hub }, random) => {
    const { namespace, name } = random.pick(units);
    hub.putManaged(random.pick(names), `${namespace}/${name}`, String(random.between(0, 3)));
  },
  removeManaged: ({ hub }, random) => hub.removeManaged(random.pick(names)),
  write: (world, random) => {
    const key = random.pick(units);
    const reader = world.reader(random.pick(workers));
    // A write of ours has the version at hand as its condition.
    const live = reader.view.flux.get(key);
    if (!live || live.metadata.resourceVersion !== world.hub.flux.get(actorId(key))?.metadata.resourceVersion) return;
    world.hub.put(key, { written: true });
    reader.took(key, world, "wrote");
  },
  read: (world, random) => world.reader(random.pick(workers)).took(random.pick(units), world, "read"),
  follow: (world, random) => world.reader(random.pick(workers)).follow(partitions.filter(() => random.chance(0.6))),
  handOver: (world, random) => world.watchBy(random.pick(workers)),
  nobody: (world) => { for (const { view } of world.readers.values()) view.watchedBy(undefined); world.reader(world.watcher).watching.stop(); },
  restart: (world, random) => world.restart(random.pick(workers)),
  breakWatch: (world, random) => world.reader(world.watcher).port.breakFor(random.between(10, 3_000)),
  freeze: (world, random) => {
    const { process } = world.reader(random.pick(workers));
    process.stop();
    world.time.in(random.between(100, 8_000), () => process.resume());
  },
};
const rare = ["follow", "handOver", "nobody", "restart", "breakWatch", "freeze"];
const common = ["putReference", "removeReference", "put", "remove", "putManaged", "removeManaged", "write", "read"];

const first = Number(process.env["SEED"] ?? 1);
const seeds = process.env["SEED"] ? [first] : Array.from({ length: 60 }, (_, i) => i + 1);

// [FD1] [FD2]
for (const seed of seeds)
  test(`[FD1] [FD2] whatever is lost, late or restarted, every view ends up right and none shows a deletion that was none: seed ${seed}`, async () => {
    const world = new World(seed);
    const { random } = world;
    for (const name of workers) world.open(name).follow(partitions.filter(() => random.chance(0.6)));
    world.watchBy("w1");
    await world.run(1_000);
    world.fate = { lossShare: random.next() * 0.3, lateMs: random.between(5, 400) };
    const rareShare = random.pick([0.02, 0.1, 0.3]);
    for (let i = 0; i < 150; i++) {
      const step = random.chance(rareShare) ? random.pick(rare) : random.pick(common);
      steps[step]?.(world, random);
      await world.run(random.between(0, 600));
    }
    world.fate = { lossShare: 0, lateMs: 5 };
    for (const { process } of world.readers.values()) process.resume();
    world.ensureWatcher();
    await world.run(20_000);
    for (const name of workers) {
      const { is, should } = world.compare(name);
      assert.deepEqual(is, should, name);
      assert.ok(world.reader(name).view.isConnected(), `${name} is connected`);
    }
    assert.deepEqual(world.wrong, []);
  });

test("[FD3] one worker watches for all; each is told of its own partitions alone", async () => {
  const world = new World(1);
  for (const key of units) world.hub.put(key);
  for (const [i, name] of names.entries()) world.hub.putManaged(name, `apps/unit-${i % units.length}`);
  for (const [i, name] of workers.entries()) world.open(name).follow(partitions.filter((partition) => partition % 3 === i));
  world.watchBy("w2");
  await world.run(2_000);
  for (const name of workers) {
    const { is, should } = world.compare(name);
    assert.deepEqual(is, should, name);
  }
  assert.deepEqual(workers.map((name) => world.reader(name).port.starts), [0, 1, 0]);
});

test("[FD4] a message that is lost as the last for a long time is missed at the next keep-alive", async () => {
  const world = new World(1);
  const { view, ...reader } = world.open("w1");
  world.reader("w1").follow(partitions);
  world.open("w2");
  world.watchBy("w2");
  await world.run(20_000); // what is looked for again and again is so ever more rarely
  assert.ok(view.isConnected());
  const key = units[0] as ActorKey;
  // Well between two keep-alives, so that nothing but this message is lost.
  world.fate = { lossShare: 1, lateMs: 1 };
  world.hub.put(key);
  await world.run(20);
  world.fate = { lossShare: 0, lateMs: 1 };
  assert.equal(view.flux.get(key), undefined);
  await world.run(1_500);
  assert.ok(view.flux.get(key));
  assert.ok(reader.known.has(actorId(key)));
});

test("[FD5] the session of a reader that is silent for 5 s is dropped; when it is back it begins anew", async () => {
  const world = new World(1);
  const { process, view } = world.open("w1");
  world.reader("w1").follow(partitions);
  world.open("w2");
  world.watchBy("w2");
  await world.run(2_000);
  const { watching } = world.reader("w2");
  assert.equal(watching.counts().sessions, 2);
  process.stop();
  await world.run(7_000);
  assert.equal(watching.counts().sessions, 1);
  world.hub.put(units[0] as ActorKey);
  process.resume();
  await world.run(2_000);
  assert.ok(view.isConnected() && view.flux.get(units[0] as ActorKey));
});

test("[FD8] of a partition that is given up nothing is kept; followed again it is shown from scratch", async () => {
  const world = new World(1);
  const { view } = world.open("w1");
  const key = units[0] as ActorKey;
  world.hub.put(key);
  const { owner } = world.hub.putManaged("map", `${key.namespace}/${key.name}`);
  world.watchBy("w1");
  world.reader("w1").follow(partitions);
  await world.run(1_000);
  assert.deepEqual([view.flux.get(key)?.kind, view.managed.of(kustomizations).get(managedId("map"))?.owner], [key.kind, owner]);
  world.reader("w1").follow(partitions.filter((partition) => partition !== partitionOf(key)));
  assert.deepEqual([view.flux.get(key), view.managed.of(kustomizations).get(managedId("map"))], [undefined, undefined]);
  world.hub.remove(key);
  await world.run(1_000);
  world.reader("w1").follow(partitions);
  assert.equal(view.isShown(partitionOf(key)), false);
  await world.run(1_000);
  assert.deepEqual([view.isShown(partitionOf(key)), view.flux.get(key), view.managed.of(kustomizations).get(managedId("map"))?.owner], [true, undefined, owner]);
});

test("[FD12] a kind that is not there is passed over, and looked for again when it is in use", async () => {
  const world = new World(1);
  const { view } = world.open("w1");
  world.watchBy("w1");
  world.reader("w1").follow(partitions);
  let ensured = false;
  void view.managed.of(kustomizations).ensureEntries([{ id: managedId("x", "Nothing"), v: "v1" }]).then(() => { ensured = true; });
  await world.run(1_000);
  assert.deepEqual([ensured, view.managed.of(kustomizations).isSynced("", "Nothing"), view.managed.of(kustomizations).isSynced("", "ConfigMap")], [true, false, true]);
  world.hub.absentKinds.clear();
  const table = view.managed.of(kustomizations).tableOf({ namespace: "apps", name: "unit-0" });
  table.follow({ apiVersion: "v1", group: "", kind: "Nothing", prefix: "/api/v1", plural: "nothings", namespaced: true, verbs: ["watch"] });
  await world.run(300);
  assert.equal(view.managed.of(kustomizations).isSynced("", "Nothing"), true);
});

test("[FD13] a push is matched by the watcher, with the sources of the whole hub", async () => {
  const world = new World(1);
  const { view } = world.open("w1");
  const key: ActorKey = { kind: "gitrepository", namespace: "apps", name: "web" };
  world.hub.put(key, { url: "https://git.example/web.git" });
  world.hub.put({ ...key, name: "other" }, { url: "https://git.example/other" });
  const ask = async () => {
    let answer: unknown;
    view.matching(["https://git.example/web"]).then((keys) => { answer = keys.map(actorId); }, (thrown: unknown) => { answer = String(thrown); });
    await world.run(100);
    return answer;
  };
  assert.match(String(await ask()), /no worker watches it now/);
  world.open("w2");
  const usual = world.fate;
  world.fate = { ...usual, lateMs: 500 }; // for its first list
  world.watchBy("w2");
  await world.run(0);
  world.fate = usual;
  assert.match(String(await ask()), /has not seen everything yet/);
  await world.run(2_000);
  assert.deepEqual(await ask(), [actorId(key)]);
  assert.deepEqual(parseActorId(actorId(key)), key);
});

test("[FD14] a watch that has ended is dropped with all it knew, and may begin again", async () => {
  const world = new World(1);
  const { view, watching } = world.open("w1");
  world.hub.put(units[0] as ActorKey);
  world.watchBy("w1");
  world.reader("w1").follow(partitions);
  await world.run(1_000);
  watching.stop();
  await world.run(1_000);
  assert.deepEqual([watching.counts().sessions, view.isConnected()], [0, false]);
  assert.ok(view.flux.get(units[0] as ActorKey), "what is known stays until others have told all anew");
  world.hub.remove(units[0] as ActorKey);
  void watching.start();
  await world.run(1_000);
  assert.deepEqual([view.isConnected(), view.flux.get(units[0] as ActorKey)], [true, undefined]);
});

test("[DP8] [DP13] how a unit stands to the others is answered by the watcher, from the units of the whole hub", async () => {
  const world = new World(1);
  const { view } = world.open("w1");
  const unit = (name: string): ActorKey => ({ kind: "kustomization", namespace: "apps", name });
  const on = (...names: string[]) => ({ dependsOn: names.map((name) => ({ name })) });
  world.hub.put(unit("a"), on("b"));
  world.hub.put(unit("b"), on("a"));
  const { metadata } = world.hub.put(unit("c"), { dependsOn: [{ name: "d" }, { kind: "Deployment", apiVersion: "apps/v1", name: "a" }, null, "odd"] });
  metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  const ask = async (name: string) => {
    let answer: unknown;
    view.depends(unit(name)).then((said) => { answer = said; }, (thrown: unknown) => { answer = String(thrown); });
    await world.run(100);
    return answer;
  };
  assert.match(String(await ask("a")), /no worker watches it now/);
  world.open("w2");
  world.watchBy("w2");
  await world.run(1_000);
  assert.deepEqual(await ask("a"), { known: true, cycle: [actorId(unit("a")), actorId(unit("b"))], goFirst: [] });
  assert.deepEqual(await ask("d"), { known: true, cycle: [], goFirst: [actorId(unit("c"))] });
  world.hub.put(unit("b"));
  await world.run(1_000);
  assert.deepEqual(await ask("a"), { known: true, cycle: [], goFirst: [] });
});

test("[FD17] a change of what a unit refers to is told with the unit, and to nobody else", async () => {
  const world = new World(1);
  const [one, two] = units as [ActorKey, ActorKey];
  world.hub.put(one, { postBuild: { substituteFrom: [{ kind: "ConfigMap", name: "one" }] } });
  world.hub.put(two, {});
  world.hub.putReference("ConfigMap/apps/one");
  world.hub.putReference("ConfigMap/other/one");
  const told: string[] = [];
  const { view } = world.open("w1");
  world.watchBy("w1");
  world.reader("w1").follow(partitions);
  await world.run(1_000);
  const { options } = view as unknown as { options: { onObject(key: ActorKey): void } };
  options.onObject = (key) => void told.push(actorId(key));
  assert.deepEqual([view.flux.inputsOf(one), view.flux.inputsOf(two)], [{ "ConfigMap/apps/one": world.hub.references.get("ConfigMap/apps/one") }, {}]);
  world.hub.putReference("ConfigMap/other/one");
  world.hub.putReference("ConfigMap/apps/one");
  await world.run(1_000);
  assert.deepEqual([told, view.flux.inputsOf(one)], [[actorId(one)], { "ConfigMap/apps/one": world.hub.references.get("ConfigMap/apps/one") }]);
  world.hub.removeReference("ConfigMap/apps/one");
  await world.run(1_000);
  assert.deepEqual([told.length, view.flux.inputsOf(one)], [2, {}]);
});
