/** What must hold of units that wait for what they depend on. */
import type { KustomizationContext } from "#machines/kustomization/machine.ts";
import { actorId, parseActorId, type ActorKey } from "#protocol/names/actor.ts";
import { awaitedObject } from "#protocol/names/awaited.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { isReady } from "#services/worker/shown.ts";
import type { SimulatedKube } from "./kube.ts";

/** A hint is taken by then: the scan comes every 5 s, and a commit may wait for a busy log. */
export const hintMs = 15_000;

type Ports = {
  kube: SimulatedKube;
  nowMs(): number;
  workers(): Iterable<{ joined: boolean; process: { state: string }; cell: { holds(): boolean } }>;
  violated(rule: string, text: string): void;
};

export class WaitingChecks {
  private readonly ports: Ports;
  /** Revisions at which a unit was ready, at some time: `<unit> <revision>`. */
  private readonly wasReady = new Set<string>();
  /** Since when a unit waits for what is ready. */
  private readonly waitsInVain = new Map<string, number>();

  constructor(ports: Ports) {
    this.ports = ports;
  }

  /** Nothing of a revision is built before everything it depends on was ready at it. */
  recorded(key: ActorKey, before: ActorRecord | undefined, after: ActorRecord): void {
    const [was, is] = [before, after].map((record) => record?.snapshot["value"]);
    const { facts, source } = after.snapshot.context as unknown as KustomizationContext;
    if (isReady(key, after)) this.wasReady.add(`${actorId(key)} ${source?.revision ?? ""}`);
    if (was !== "awaiting" || is !== "building") return;
    for (const id of facts?.dependsOn ?? [])
      if (!awaitedObject(parseActorId(id)))
        this.expect(this.wasReady.has(`${id} ${source?.revision ?? ""}`), "DP1", () => `${actorId(key)} goes on at ${source?.revision} and ${id} was never ready there`);
  }

  /** A ready dependency wakes whoever waits for it: not by the time that is there for what went wrong. */
  notice(records: ReadonlyMap<string, ActorRecord>, disturbedMs: number): void {
    const nowMs = this.ports.nowMs();
    const everybodyWorks = [...this.ports.workers()].every(({ joined, process, cell }) => joined && process.state === "running" && cell.holds());
    if (!everybodyWorks) return this.waitsInVain.clear();
    for (const [id, record] of records) {
      const { awaits = [], source, fault } = record.snapshot.context as unknown as KustomizationContext;
      const blocked = record.snapshot["value"] === "blocked" && fault?.code === "DependencyNotReady";
      const dependency = awaits[0] && records.get(awaits[0].id);
      const dependencyKey = awaits[0] && parseActorId(awaits[0].id);
      const ready = dependency && dependencyKey && isReady(dependencyKey, dependency) && (dependency.snapshot.context as unknown as KustomizationContext).applied === source?.revision;
      const gateIsOpen = dependencyKey && awaitedObject(dependencyKey) && this.ports.kube.get(`ConfigMap/apps/${dependencyKey.name}`) !== undefined;
      if (!blocked || !(ready || gateIsOpen)) this.waitsInVain.delete(id);
      else if (!this.waitsInVain.has(id)) this.waitsInVain.set(id, nowMs);
      const sinceMs = Math.max(this.waitsInVain.get(id) ?? nowMs, disturbedMs);
      this.expect(nowMs - sinceMs <= hintMs, "DP4", () => `${id} waits for ${awaits[0]?.id}, which has been ready for ${nowMs - sinceMs} ms`);
    }
  }

  private expect(holds: boolean, rule: string, text: () => string): void {
    if (!holds) this.ports.violated(rule, text());
  }
}
