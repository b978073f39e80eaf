/** What becomes of a decision outside: the object's status, events, logs, metrics and traces. */
import type { AnyEventObject } from "xstate";
import { Fault, sentence, type FaultData } from "#protocol/errors/fault.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import { partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Metrics } from "#services/telemetry/metrics.ts";
import type { Transition } from "./host-ports.ts";
import type { Hub } from "./hub.ts";
import { isHub, isUnit, kindName } from "./kinds.ts";
import { isWaiting, statusOf } from "./shown.ts";
import { StatusWriter, type Wanted } from "./status-writer.ts";
import type { Traces } from "./traces.ts";

export type TellingPorts = {
  clock: Clock;
  hub: Pick<Hub, "cached" | "reread" | "patchStatus" | "postEvent">;
  log: Log;
  metrics: Pick<Metrics, "reconciled" | "forget">;
  traces: Pick<Traces, "rested" | "forget">;
  owns(partition: number): boolean;
  /** In memory at once; one at rest has to be read. */
  recordOf(key: ActorKey): ActorRecord | undefined | Promise<ActorRecord | undefined>;
  quarantineOf(key: ActorKey): FaultData | null;
  /** Resolves when the actor's object is known, or may be taken not to be. */
  whenShown(partition: number): Promise<void>;
  artifactUrl(path: string): string;
};

const againMs = 1_000;

export class Telling {
  private readonly ports: TellingPorts;
  private readonly statuses: StatusWriter;
  private stopped = false;

  constructor(ports: TellingPorts) {
    this.ports = ports;
    const { clock, hub, log } = ports;
    this.statuses = new StatusWriter({
      clock,
      wanted: (key) => this.wanted(key),
      live: (key) => hub.cached(key),
      reread: (key) => hub.reread(key),
      patch: (key, live, status) => hub.patchStatus(key, live, status),
      artifactUrl: (path) => ports.artifactUrl(path),
      failed: (key, thrown) => {
        // Another worker's by now, which says it; or nobody may write, which is told once for all.
        if (!(thrown instanceof Fault && thrown.code === "LeaseLost")) log.forActor(key, kindName(key.kind)).error("status could not be written", thrown);
      },
    });
  }

  /** After a decision was kept. */
  kept({ key, before, after, emits, nowMs }: Transition): void {
    const { metrics, traces } = this.ports;
    const busy = after.busySinceMs !== undefined;
    if (!isHub(key)) this.statuses.touch(key, busy || isWaiting(after));
    if (before.busySinceMs !== undefined && !busy) {
      if (!isHub(key)) metrics.reconciled(named(key), (nowMs - before.busySinceMs) / 1000);
      if (isUnit(key)) traces.rested(key, before, after, nowMs);
    }
    for (const emitted of emits) if (emitted.type === "notice") this.say(key, emitted as unknown as Notice, after);
    if (after.snapshot.status !== "done") return;
    traces.forget(key);
    metrics.forget(named(key));
  }

  /** To people: an event beside the object. */
  async tell(key: ActorKey, word: AnyEventObject): Promise<void> {
    const { hub, whenShown } = this.ports;
    await whenShown(partitionOf(key));
    const object = hub.cached(key);
    if (object) await hub.postEvent(key, object, word as unknown as Notice);
  }

  quarantined(key: ActorKey, fault: FaultData): void {
    const { owns, log } = this.ports;
    if (!owns(partitionOf(key))) return; // its record is another worker's now
    log.forActor(key, kindName(key.kind)).error("set aside until its object is seen again", sentence(fault));
    this.statuses.touch(key, false);
    void this.insist(key, { type: "notice", severity: "Warning", reason: "Quarantined", message: sentence(fault) });
  }

  /** Of one that was just taken over: what the owner before did not get round to saying is said. */
  compare(key: ActorKey, record: ActorRecord): void {
    const wanted = isHub(key) ? undefined : this.wantedOf(key, record);
    if (wanted) this.statuses.compare(key, wanted);
  }

  /** It is another worker's now. */
  forget(key: ActorKey): void {
    this.statuses.forget(key);
    this.ports.traces.forget(key);
  }

  stop(): void {
    this.stopped = true;
    this.statuses.stop();
  }

  /** What no later run would say again: tried until it is told, or is another worker's to tell. */
  private async insist(key: ActorKey, notice: Notice): Promise<void> {
    const { clock, hub, owns } = this.ports;
    while (!this.stopped && owns(partitionOf(key)))
      try {
        // A feed that is slow to come says nothing of whether the object is there.
        const object = hub.cached(key) ?? (await hub.reread(key));
        if (object) await hub.postEvent(key, object, notice);
        return;
      } catch {
        await sleep(clock, againMs);
      }
  }

  private say(key: ActorKey, { severity, message, reason, revision }: Notice, record: ActorRecord): void {
    const { traceparent } = record.snapshot.context as { traceparent?: string };
    const log = this.ports.log.forActor(key, kindName(key.kind)).forTrace(traceparent);
    if (severity === "Warning") log.error(message, reason, { reason, ...(revision && { revision }) });
    else log.info(message, { reason, ...(revision && { revision }) });
  }

  private async wanted(key: ActorKey): Promise<Wanted | undefined> {
    const found = this.ports.recordOf(key);
    const record = found instanceof Promise ? await found : found;
    return record && this.ports.owns(partitionOf(key)) ? this.wantedOf(key, record) : undefined;
  }

  private wantedOf(key: ActorKey, record: ActorRecord): Wanted | undefined {
    const { hub, quarantineOf } = this.ports;
    const { facts } = record.snapshot.context as { facts?: { generation: number; uid: string } | null };
    const live = hub.cached(key);
    if (facts && live && live.metadata.uid !== facts.uid) return undefined; // another object of the same name: its own record will say
    const status = statusOf(key, record, quarantineOf(key));
    return status && { status, generation: facts?.generation ?? live?.metadata.generation ?? 0, busy: record.busySinceMs !== undefined };
  }
}

const named = (key: ActorKey) => ({ kind: kindName(key.kind), name: key.name, namespace: key.namespace });
