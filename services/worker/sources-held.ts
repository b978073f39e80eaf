/** Who waits for a source, and what the source has for them, wherever either of them is hosted. */
import type { AnyEventObject } from "xstate";
import type { SourceContext } from "#machines/source/machine.ts";
import { parseActorId, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Cell, Hint, Write } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";
import type { KustomizationPorts } from "./effects/kustomization.ts";
import { awaitedBy } from "./shown.ts";

export type HeldPorts = {
  clock: Clock;
  cell: Pick<Cell, "read" | "send" | "dependentsOf">;
  /** Of an actor in memory. */
  recordOf(key: ActorKey): ActorRecord | undefined;
  /** Whether the hub has such an object. */
  exists(key: ActorKey): Promise<boolean>;
};

/** How long after a source's news a unit that only now says that it waits may have missed them. */
const freshMs = 10_000;

export class HeldSources {
  private readonly ports: HeldPorts;

  constructor(ports: HeldPorts) {
    this.ports = ports;
  }

  /** The artifact a source holds now, and the trace of its change. */
  async held(key: ActorKey): ReturnType<KustomizationPorts["held"]> {
    const { cell, recordOf, exists } = this.ports;
    const record = recordOf(key) ?? (await cell.read(key));
    if (!record) return (await exists(key)) ? "no artifact" : "no source";
    const { artifact, traceparent } = record.snapshot.context as unknown as Partial<SourceContext>;
    return artifact ? { artifact, traceparent: traceparent ?? "" } : "no artifact";
  }

  /** A unit's decision, with whom it waits for from then on. */
  withAwaited(write: Write): Write {
    const before = awaitedBy(this.ports.recordOf(write.key));
    const after = awaitedBy(write.record);
    if (before === after) return write;
    return { ...write, awaits: { add: after ? [parseActorId(after)] : [], drop: before ? [parseActorId(before)] : [] } };
  }

  /** Whom a source's news concern. */
  route(from: ActorKey, emitted: AnyEventObject): Hint[] {
    if (emitted.type !== "artifactStored") return [];
    const { artifact } = emitted as unknown as { artifact: { revision: string; digest: string } };
    return this.ports.cell.dependentsOf(from).map((to) => ({ to, kind: "artifact", body: newsOf(artifact) }));
  }

  /**
   * A unit waits for a source of ours from now on. It may have looked just before the source's last news, whose hint it
   * then missed. `missed`: that it waits was itself heard late.
   */
  awaited(source: ActorKey, waiter: ActorKey, missed: boolean): void {
    const { artifact } = (this.ports.recordOf(source)?.snapshot.context ?? {}) as Partial<SourceContext>;
    const isFresh = artifact && this.ports.clock.nowMs() - Date.parse(artifact.storedAt) < freshMs;
    if (!missed && !isFresh) return;
    const hint: Hint = artifact ? { to: waiter, kind: "artifact", body: newsOf(artifact) } : { to: waiter, kind: "look", body: {} };
    this.ports.cell.send(hint).catch(() => undefined); // its interval repairs it
  }
}

const newsOf = ({ revision, digest }: { revision: string; digest: string }) => ({ revision, digest });
