import assert from "node:assert/strict";
import test from "node:test";
import type { WorkerView } from "#protocol/messages/fleet.ts";
import { FakeShell } from "./fake-shell.ts";
import { main } from "./main.ts";

const worker = (name: string, more: Partial<WorkerView> = {}): WorkerView =>
  ({ name, state: "ready", partitions: 512, actors: 40, loadMsPerMinute: 3_240, leaseAgeMs: 212, coordinator: false, capacity: 1, shard: "", ...more });

async function run(argv: string, workers: WorkerView[], prepare: (shell: FakeShell) => void = () => {}) {
  const shell = new FakeShell();
  shell.workers = workers;
  prepare(shell);
  return { code: await main(argv.split(" "), shell), shell };
}

const two = () => [worker("alpha-1", { coordinator: true }), worker("beta-2", { state: "silent", partitions: 0, leaseAgeMs: 3_400 })];

test("[FL5] workers shows who holds what, how much it costs, how old the heartbeat is, and who coordinates", async () => {
  const { code, shell } = await run("workers", two());
  assert.equal(shell.stdout, [
    "NAME   \tSTATE \tPARTITIONS\tACTORS\tLOAD     \tLEASE\tCOORDINATOR",
    "alpha-1\tready \t512       \t40    \t3.2 s/min\t212ms\tyes",
    "beta-2 \tsilent\t0         \t40    \t3.2 s/min\t3.40s",
    "",
  ].join("\n"));
  assert.deepEqual([code, shell.stderr], [0, ""]);
});

test("[FL5] where workers are there for a shard, it is shown", async () => {
  const { shell } = await run("workers", [worker("alpha-1"), worker("beta-2", { shard: "heavy" })]);
  const [headings = "", alpha = "", beta = ""] = shell.stdout.split("\n");
  assert.match(headings, /\tSHARD$/);
  assert.deepEqual([alpha.split("\t")[7]?.trim() ?? "", beta.split("\t")[7]?.trim()], ["", "heavy"]);
});

test("[FL5] workers --json, at the address that was given", async () => {
  const { shell } = await run("workers --json --server http://w:1", two());
  assert.deepEqual(JSON.parse(shell.stdout), two());
  assert.equal((shell.opened[0] as { server?: string }).server, "http://w:1");
});

/** Hands over so many partitions at each look. */
const handingOver = (step: number) => (shell: FakeShell) => {
  shell.fleet = (workers) => workers.map((each) => (each.state === "draining" ? { ...each, partitions: Math.max(0, each.partitions - step) } : each));
};

test("[FL6] drain asks, tells once a second how many are left, and ends when nothing is", async () => {
  const { code, shell } = await run("drain alpha", [worker("alpha-1"), worker("beta-2")], handingOver(60));
  assert.deepEqual(shell.asked, ["drain alpha-1"]);
  assert.equal(shell.stderr, "► draining alpha-1\n◎ 452 partitions left\n◎ 212 partitions left\n✔ alpha-1 holds nothing any more\n");
  assert.deepEqual([code, shell.stdout], [0, ""]);
});

test("[FL6] a worker that ends when it is empty was drained too; --json prints what it was", async () => {
  const { code, shell } = await run("drain beta-2 --json", [worker("alpha-1"), worker("beta-2")], (shell) => {
    shell.fleet = (workers) => workers.filter(({ state }) => state !== "draining");
  });
  assert.match(shell.stderr, /✔ beta-2 has handed everything over and ended$/m);
  assert.equal((JSON.parse(shell.stdout) as WorkerView).partitions, 0);
  assert.equal(code, 0);
});

test("[FL6] --undo takes the wish back and waits for nothing", async () => {
  const { code, shell } = await run("drain alpha-1 --undo", [worker("alpha-1", { state: "draining" })]);
  assert.deepEqual(shell.asked, ["undo alpha-1"]);
  assert.equal(shell.stderr, "✔ alpha-1 takes part again\n");
  assert.equal(code, 0);
});

test("[FL6] an exact name counts even where others begin with it", async () => {
  const { shell } = await run("drain a", [worker("a"), worker("ab")], handingOver(512));
  assert.deepEqual(shell.asked, ["drain a"]);
});

const failures: { why: string; argv: string; workers: WorkerView[]; says: RegExp; asked?: string[] }[] = [
  { why: "unknown", argv: "drain gamma", workers: two(), says: /^✗ no worker "gamma": there are alpha-1, beta-2$/m },
  { why: "none at all", argv: "drain gamma", workers: [], says: /^✗ no worker "gamma": there are none$/m },
  { why: "ambiguous", argv: "drain a", workers: [worker("a-1"), worker("a-2"), worker("b")], says: /^✗ "a" may be any of a-1, a-2: give more of the name$/m },
  { why: "silent", argv: "drain beta", workers: two(), says: /^✗ beta-2 does not answer/m },
  { why: "nobody else is ready", argv: "drain alpha", workers: [worker("alpha-1"), worker("beta-2", { state: "draining" })], says: /^✗ nobody is there to take over from alpha-1: start another worker first$/m },
  {
    why: "not in time", argv: "drain alpha --timeout 10s", workers: [worker("alpha-1"), worker("beta-2")], asked: ["drain alpha-1"],
    says: /^✗ alpha-1 still holds 512 partitions after 10s; it goes on draining until "flotilla drain alpha-1 --undo"$/m,
  },
];
for (const { why, argv, workers, says, asked = [] } of failures)
  test(`[FL6] flotilla ${argv}: ${why} -> 1`, async () => {
    const { code, shell } = await run(argv, workers);
    assert.match(shell.stderr, says);
    assert.deepEqual([code, shell.asked], [1, asked]);
  });

const misuse: { argv: string; says: RegExp }[] = [
  { argv: "worker", says: /required option '--nats <url>' not specified|--nats/ },
  { argv: "worker --nats nats://n:4222 --capacity none", says: /^✗ --capacity: not a number above 0: none$/m },
  { argv: "worker --nats nats://n:4222 --capacity 0", says: /^✗ --capacity/m },
  { argv: "worker --nats nats://n:4222 --replicas 2.5", says: /^✗ --replicas: 1, 3 or 5: 2\.5$/m },
  { argv: "worker --nats nats://n:4222 --listen 9090", says: /^✗ --listen: not HOST:PORT/m },
  { argv: "worker --nats nats://n:4222 --advertise ftp://x", says: /^✗ --advertise: not an http or https URL/m },
  { argv: "worker --nats nats://n:4222 --nats-monitor http://a:8222,b:8222", says: /^✗ --nats-monitor: not an http or https URL: b:8222$/m },
  { argv: "worker --nats nats://n:4222 --log-level loud", says: /^✗ --log-level loud: use trace/m },
  { argv: "worker --nats nats://n:4222 --nats-cert c.pem", says: /^✗ --nats-cert: its key is missing \(--nats-key\)$/m },
  { argv: "up --nats-creds c", says: /^✗ --nats-creds: for which NATS\? Name it with --nats or FLOTILLA_NATS$/m },
  { argv: "worker --nats nats://n:4222 --shard not/a/value", says: /^✗ --shard: not the value of a label: not\/a\/value$/m },
  { argv: "up --tenant-label not/a/key", says: /^✗ --tenant-label: not the key of a label: not\/a\/key$/m },
  { argv: "up --tenancy closed", says: /^✗ --tenancy closed: use open or locked$/m },
  { argv: "up --default-service-account a:b", says: /^✗ --default-service-account: not the name of a ServiceAccount: a:b$/m },
  { argv: "up --sops-age-secret a/b/c", says: /^✗ --sops-age-secret: not the name of an object: a\/b\/c$/m },
  { argv: "up --capacity -1", says: /^✗ --capacity/m },
  { argv: "drain", says: /missing required argument 'worker'/ },
  { argv: "drain a --timeout soon", says: /^✗ --timeout: not a duration/m },
];
for (const { argv, says } of misuse)
  test(`[FL7] flotilla ${argv} -> 2, and nothing is tried`, async () => {
    const { code, shell } = await run(argv, two());
    assert.match(shell.stderr, says);
    assert.deepEqual([code, shell.opened, shell.asked], [2, [], []]);
  });
