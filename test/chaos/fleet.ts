/** A fleet of real workers that is made to suffer: processes, a NATS, an API server with an audit log, commits that flow. */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { connectNats } from "#services/store/nats-connect.ts";
import { eventually } from "../../deploy/local/eventually.ts";
import { startGitServer } from "../../deploy/local/git-server.ts";
import { isAlive, startWorker, type RunningWorker } from "../system/flotilla.ts";
import { openKube, type Kube } from "../system/kube.ts";
import { openAccounts } from "./accounts.ts";
import { Apps } from "./apps.ts";
import { Owners } from "./owners.ts";
import { violations } from "./verdict.ts";
import { endOf, writesSince } from "./writes.ts";

export type FleetOptions = {
  dir: string;
  kubeconfig: string;
  auditLog: string;
  /** With its token, as `--nats` takes it. */
  nats: string;
  workers: number;
  repositories?: number;
  /** Objects of each unit. */
  sizes: number[];
  args?: string[];
  /** For everything to be at the newest commit. */
  withinMs?: number;
};

type WorkerView = { name: string; state: string; partitions: number; coordinator: boolean };

export type Fleet = {
  kube: Kube;
  apps: Apps;
  owners: Owners;
  connection: NatsConnection;
  living(): RunningWorker[];
  named(name: string | undefined): RunningWorker;
  add(): Promise<RunningWorker>;
  /** SIGTERM; resolves to how it ended. */
  leave(worker: RunningWorker): Promise<string>;
  /** Whether an account is a worker's. */
  isWorker(user: string): boolean;
  /** Asks a worker to hand everything over, as `flotilla drain` does, or to take part again. */
  drain(worker: RunningWorker, draining: boolean): Promise<void>;
  /** As one of the living tells it. */
  views(): Promise<WorkerView[]>;
  /** Nobody is left out, and whoever is gone owns nothing. */
  untilShared(): Promise<void>;
  /** A commit, and word of it to somebody who lives. */
  push(): Promise<void>;
  /** Freezes the owner of a unit in the middle of an apply; commits must flow. */
  freezeMidApply(): Promise<RunningWorker>;
  /** Does something while commits flow, then waits for the newest. Violations are told as a line each. */
  suffer(what: () => Promise<void>): Promise<string[]>;
  close(): Promise<void>;
};

const commitEveryMs = 2_000;
const tries = 10;

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const stops: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const stop of stops.splice(0).toReversed()) await stop().catch(() => undefined); // what it talks to may be gone
  };
  try {
    return await start(options, close, (stop) => stops.push(stop));
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

async function start(options: FleetOptions, close: Fleet["close"], atEnd: (stop: () => Promise<unknown>) => void): Promise<Fleet> {
  const { dir, kubeconfig, auditLog, nats, args = [], withinMs = 45_000 } = options;
  await mkdir(dir, { recursive: true });
  const namespace = `chaos-${randomBytes(4).toString("hex")}`;
  const kube = openKube(kubeconfig);
  atEnd(() => kube.close());
  const accounts = await openAccounts(kube, kubeconfig, namespace, dir);
  const git = await startGitServer({ dir: join(dir, "git") });
  atEnd(() => git.stop());
  const over = new AbortController();
  atEnd(async () => over.abort());

  const tokens = { token: randomBytes(12).toString("hex"), webhookToken: randomBytes(12).toString("hex") };
  const workers: RunningWorker[] = [];
  const users = new Map<string, string>();
  const living = () => workers.filter(({ pid }) => isAlive(pid));
  atEnd(() => Promise.all(living().map((worker) => worker.crash())));
  const add = async () => {
    const account = await accounts.next();
    const worker = await startWorker({ kubeconfig: account.kubeconfig, nats, data: join(dir, "workers"), tokens, args });
    workers.push(worker);
    users.set(account.user, worker.name);
    return worker;
  };
  for (let i = 0; i < options.workers; i++) await add();

  const connection = await connectNats({ url: nats, name: "chaos" });
  atEnd(() => connection.close());
  const owners = await Owners.open(connection);
  const apps = await Apps.open({ kube, git, namespace, repositories: options.repositories ?? 4, sizes: options.sizes, signal: over.signal });

  const ask = async (path: string, sent?: object): Promise<unknown> => {
    const [one] = living();
    if (!one) throw new Error("no worker lives");
    const answer = await fetch(`${one.url}/api/v1/${path}`, {
      headers: { authorization: `Bearer ${tokens.token}` }, signal: AbortSignal.timeout(5_000), ...(sent && { method: "POST", body: JSON.stringify(sent) }),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const views = async () => ((await ask("workers")) as { workers: WorkerView[] }).workers;
  const announce = async (url: string) => {
    for (const worker of living())
      if (await worker.announce(url).then(({ status }) => status === 202, () => false)) return; // else the next one, else the interval
  };
  const push = async () => {
    await apps.commit();
    await Promise.all(apps.urls().map(announce));
  };
  const named = (name: string | undefined) => {
    const found = living().find((worker) => worker.name === name);
    if (!found) throw new Error(`no living worker ${name}`);
    return found;
  };

  /** How each that is gone ended, and what it said of that. */
  const epitaphs = () => Promise.all(workers.filter(({ pid }) => !isAlive(pid)).map(async ({ name, ended, logs }) => {
    const errors = logs().filter(({ level, controller }) => level === "error" && !controller);
    return [`${name}: ${await ended}`, ...errors.slice(-14).map(({ msg, error = "" }) => `  ${msg} ${error}`.slice(0, 300))].join("\n");
  }));

  const fleet: Fleet = {
    kube, apps, owners, connection, living, named, add, views, push, close,
    isWorker: (user) => users.has(user),
    drain: async (worker, draining) => void (await ask(`workers/${worker.name}/drain`, { draining })),
    leave: async (worker) => {
      worker.signal("SIGTERM");
      return worker.ended;
    },
    async untilShared() {
      const names = () => living().map(({ name }) => name);
      try {
        await eventually("the partitions shared among all who live", async () => {
          await owners.catchUp();
          const counts = owners.counts();
          return names().every((name) => (counts.get(name) ?? 0) > 0) && [...counts.keys()].every((name) => names().includes(name));
        });
      } catch (thrown) {
        const errors = living().flatMap(({ name, logs }) => logs().filter(({ level, controller }) => level === "error" && !controller).slice(-5).map((line) => `${name}: ${JSON.stringify(line)}`));
        const seen = [`living: ${names().join(", ")}`, `owners: ${JSON.stringify([...owners.counts()])}`, JSON.stringify(await views().catch(String)), ...errors];
        throw new Error(`${(thrown as Error).message}\n${seen.join("\n")}`, { cause: thrown });
      }
    },
    async freezeMidApply() {
      for (let i = 0; i < tries; i++) {
        const unit = await apps.untilHalfApplied();
        const worker = named(owners.ofActor(unit.key));
        worker.signal("SIGSTOP"); // first, so that it gets no further while we make sure
        await pause(100); // what it had sent arrives
        if (apps.isHalfApplied(unit)) return worker;
        worker.signal("SIGCONT");
      }
      throw new Error("no apply was caught in the middle");
    },
    async suffer(what) {
      await apps.untilNewest(withinMs);
      const [offset, since] = [await endOf(auditLog, kube), { version: apps.version, order: await apps.order() }];
      const calm = new AbortController();
      const flow = (async () => {
        for (; !calm.signal.aborted; await pause(commitEveryMs, undefined, { signal: calm.signal }).catch(() => undefined)) await push();
      })();
      try {
        await what();
      } catch (thrown) {
        throw new Error([(thrown as Error).message, ...(await epitaphs())].join("\n"), { cause: thrown });
      } finally {
        calm.abort();
        await flow;
      }
      await push(); // one more that nobody can say was on its way
      await apps.untilNewest(withinMs);
      await owners.catchUp();
      const writes = await writesSince(auditLog, offset, kube, namespace);
      return violations({ apps, owners, writes, since, workerOf: (user) => users.get(user) });
    },
  };
  await apps.untilNewest(withinMs);
  await fleet.untilShared();
  return fleet;
}
