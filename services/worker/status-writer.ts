/**
 * Makes objects say what their records say. Level-triggered: it is told that something may have changed, looks at the
 * record as it is then, and sends the difference, or nothing. Work that ends quickly is never shown as in progress.
 */
import type { WantedStatus } from "#machines/rules/status.ts";
import { actorId, type ActorKey } from "#protocol/names/actor.ts";
import type { Clock } from "#services/store/clock.ts";
import type { RawObject } from "./facts.ts";
import { statusPatch } from "./status-patch.ts";

export type Wanted = { status: WantedStatus; generation: number; busy: boolean };

export type StatusPorts = {
  clock: Clock;
  /** What the object should say; undefined: leave it. */
  wanted(key: ActorKey): Wanted | undefined | Promise<Wanted | undefined>;
  /** The object as last seen. */
  live(key: ActorKey): RawObject | undefined;
  /** Reads it anew, for when `live` turned out to be stale. */
  reread(key: ActorKey): Promise<RawObject | undefined>;
  /** Resolves to false when the object has changed since `live` was read. Rejects when the server cannot be reached. */
  patch(key: ActorKey, live: RawObject, status: Record<string, unknown>): Promise<boolean>;
  artifactUrl(path: string): string;
  failed(key: ActorKey, thrown: unknown): void;
};

// Progress is shown only when it lasts, and then not at every step: each is a request.
const firstProgressMs = 1_500;
const nextProgressMs = 5_000;
/** Of many that are in progress at once only some are shown to be: the others' requests would delay what is in progress. */
const progress = { atOnce: 10, perSecond: 5 };
const retryMs = 1_000;
const mostConflicts = 5;
const backgroundWidth = 8;

export class StatusWriter {
  private readonly ports: StatusPorts;
  private readonly scheduled = new Map<string, { dueMs: number; cancel: () => void }>();
  /** Actors whose progress is shown already. */
  private readonly inProgress = new Set<string>();
  private readonly writing = new Set<string>();
  private readonly again = new Set<string>();
  private readonly background: (() => void)[] = [];
  private running = 0;
  private stopped = false;
  private shows = progress.atOnce;
  private showsSinceMs: number;

  constructor(ports: StatusPorts) {
    this.ports = ports;
    this.showsSinceMs = ports.clock.monoMs();
  }

  /** Something about the actor changed. `passing`: it will change again by itself, soon. */
  touch(key: ActorKey, passing: boolean): void {
    const id = actorId(key);
    if (!passing) this.inProgress.delete(id);
    this.schedule(key, passing ? (this.inProgress.has(id) ? nextProgressMs : firstProgressMs) : 0);
  }

  /** Touches it only when the object does not say what it should: for actors that were just taken over. */
  compare(key: ActorKey, wanted: Wanted): void {
    const live = this.ports.live(key);
    if (live && this.patchOf(live, wanted)) this.touch(key, wanted.busy);
  }

  /** The actor is another worker's now. */
  forget(key: ActorKey): void {
    const id = actorId(key);
    this.scheduled.get(id)?.cancel();
    this.scheduled.delete(id);
    this.inProgress.delete(id);
  }

  stop(): void {
    this.stopped = true;
    for (const { cancel } of this.scheduled.values()) cancel();
    this.scheduled.clear();
  }

  private schedule(key: ActorKey, inMs: number): void {
    if (this.stopped) return;
    const id = actorId(key);
    const dueMs = this.ports.clock.nowMs() + inMs;
    const before = this.scheduled.get(id);
    if (before && before.dueMs <= dueMs) return;
    before?.cancel();
    const cancel = this.ports.clock.at(dueMs, () => {
      this.scheduled.delete(id);
      void this.write(key, id);
    });
    this.scheduled.set(id, { dueMs, cancel });
  }

  private async write(key: ActorKey, id: string): Promise<void> {
    if (this.writing.has(id)) return void this.again.add(id);
    this.writing.add(id);
    try {
      await this.send(key);
    } catch (thrown) {
      this.ports.failed(key, thrown);
      this.schedule(key, retryMs);
    } finally {
      this.writing.delete(id);
      if (this.again.delete(id)) this.schedule(key, 0);
    }
  }

  private async send(key: ActorKey): Promise<void> {
    let live = this.ports.live(key);
    for (let conflicts = 0; live && conflicts < mostConflicts; conflicts++) {
      const wanted = await this.ports.wanted(key);
      if (!wanted) return;
      if (wanted.busy) this.inProgress.add(actorId(key));
      const patch = this.patchOf(live, wanted);
      if (!patch) return;
      if (wanted.busy && !this.takeShow()) return this.schedule(key, nextProgressMs);
      const object = live;
      const sent = isNews(wanted, object, patch)
        ? await this.ports.patch(key, object, patch)
        : await this.later(() => this.ports.patch(key, object, patch));
      if (sent) return;
      live = await this.ports.reread(key);
    }
  }

  /** Whether one more may be shown to be in progress now. */
  private takeShow(): boolean {
    const nowMs = this.ports.clock.monoMs();
    this.shows = Math.min(progress.atOnce, this.shows + ((nowMs - this.showsSinceMs) / 1000) * progress.perSecond);
    this.showsSinceMs = nowMs;
    if (this.shows < 1) return false;
    this.shows--;
    return true;
  }

  private patchOf(live: RawObject, { status, generation }: Wanted): Record<string, unknown> | undefined {
    const nowIso = new Date(this.ports.clock.nowMs()).toISOString();
    const before = (live["status"] ?? {}) as Record<string, unknown>;
    return statusPatch(status, before, generation, nowIso, (path) => this.ports.artifactUrl(path));
  }

  /** Mere bookkeeping of many units must not stand before the news of one. */
  private async later<T>(run: () => Promise<T>): Promise<T> {
    if (this.running >= backgroundWidth) await new Promise<void>((resolve) => { this.background.push(resolve); });
    this.running++;
    try {
      return await run();
    } finally {
      this.running--;
      this.background.shift()?.();
    }
  }
}

/** A unit that a new revision left unchanged moves its revisions and the text of Ready, and nothing a person waits for. */
const isNews = ({ status: { background } }: Wanted, { status }: RawObject, patch: Record<string, unknown>): boolean => {
  const { conditions = [] } = (status ?? {}) as { conditions?: { type?: unknown; status?: unknown }[] };
  const wasReady = Array.isArray(conditions) && conditions.some((each) => each.type === "Ready" && each.status === "True");
  return background !== true || !wasReady || "inventory" in patch || "lastHandledReconcileAt" in patch;
};
