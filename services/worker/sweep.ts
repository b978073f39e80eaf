/**
 * Which units a new artifact reaches first: those in whose directory, or that of whose values, a file is another. The rest, which most likely stay as
 * they are, follow a few at a time, so that a change is applied as soon with a thousand units of one source as with one.
 */
import { posix } from "node:path";
import * as z from "zod";
import { valuesPath } from "#machines/rules/values-file.ts";
import type { HelmRelease } from "#protocol/api/helm-release.ts";
import type { ArtifactPlace } from "#protocol/messages/source.ts";
import { actorId, objectId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import { withinRoot } from "#services/render/tree.ts";
import { sleep, type Clock } from "#services/store/clock.ts";
import type { Delivered } from "#services/store/mail.ts";
import type { RawObject } from "./facts.ts";
import { isUnit } from "./kinds.ts";
import { sourceOfFile } from "./values-from.ts";

export type SweepPorts = {
  clock: Clock;
  /** Directories in or below which files differ between two artifacts; the root is "". Rejects when that cannot be told. */
  changedDirectories(before: ArtifactPlace, after: ArtifactPlace): Promise<ReadonlySet<string>>;
  /** As the feed shows it. */
  object(key: ActorKey): RawObject | undefined;
  deliver(hint: Delivered): void;
};

const width = 16;
/** A unit that takes longer than this keeps nobody waiting; nor does one for which it was no news. */
const patienceMs = 250;
/** Artifacts that take longer to compare are not worth the wait. */
const comparedWithinMs = 1_000;
const mostCompared = 16;

const place = z.object({ digest: z.string(), path: z.string() });
const news = z.object({ digest: z.string(), path: z.string(), before: place });

export class Sweep {
  private readonly ports: SweepPorts;
  /** By unit: a later hint takes the place of an earlier one. */
  private readonly waiting = new Map<string, Delivered>();
  /** When those under way were told. */
  private readonly underWay = new Map<string, number>();
  private readonly compared = new Map<string, Promise<ReadonlySet<string> | undefined>>();
  private wake: (() => void) | undefined;

  constructor(ports: SweepPorts) {
    this.ports = ports;
  }

  /** @returns whether it sees to the delivery */
  take(hint: Delivered): boolean {
    if (hint.kind !== "artifact" || !isUnit(hint.key)) return false;
    const id = actorId(hint.key);
    const other = this.waiting.get(id);
    if ((other?.seq ?? 0) > hint.seq) return true; // its copy was late
    this.waiting.delete(id);
    const { success, data } = news.safeParse(hint.body);
    if (other && sourceIn(other) !== sourceIn(hint)) this.ports.deliver(other); // of a release with several sources
    if (!success) return false;
    void this.sort(hint, data.before, { digest: data.digest, path: data.path });
    return true;
  }

  /** Those whom news of an artifact concern, or may concern, before the others. */
  async inOrder(keys: ActorKey[], body: unknown): Promise<ActorKey[]> {
    const { success, data } = news.safeParse(body);
    const changed = success && (await this.compare(data.before, { digest: data.digest, path: data.path }));
    if (!changed) return keys;
    const isAside = (key: ActorKey) => directoriesOf(key, this.ports.object(key), data.path)?.some((each) => changed.has(each)) === false;
    return [...keys.filter((key) => !isAside(key)), ...keys.filter(isAside)];
  }

  /** The unit is done with what it was told. */
  rests(key: ActorKey): void {
    if (this.underWay.delete(actorId(key))) this.next();
  }

  /** What waits lies in its mailbox, where whoever has the partition next finds it. */
  drop(partition: number): void {
    for (const [id, { key }] of this.waiting) if (partitionOf(key) === partition) this.waiting.delete(id);
  }

  stop(): void {
    this.waiting.clear();
    this.wake?.();
  }

  private async sort(hint: Delivered, before: ArtifactPlace, after: ArtifactPlace): Promise<void> {
    const id = actorId(hint.key);
    this.waiting.set(id, hint);
    const directories = directoriesOf(hint.key, this.ports.object(hint.key), after.path);
    const changed = directories && (await this.compare(before, after));
    if (this.waiting.get(id) !== hint) return; // dropped, or there is newer news
    if (changed && !directories.some((each) => changed.has(each))) return this.next();
    this.waiting.delete(id);
    this.ports.deliver(hint);
  }

  private compare(before: ArtifactPlace, after: ArtifactPlace): Promise<ReadonlySet<string> | undefined> {
    const name = `${before.digest} ${after.digest}`;
    const known = this.compared.get(name);
    if (known) return known;
    const { changedDirectories, clock } = this.ports;
    const answer = Promise.race([changedDirectories(before, after).catch(() => undefined), sleep(clock, comparedWithinMs).then(() => undefined)]);
    this.compared.set(name, answer);
    for (const [oldest] of this.compared) if (this.compared.size > mostCompared) this.compared.delete(oldest);
    return answer;
  }

  private next(): void {
    const { clock, deliver } = this.ports;
    const nowMs = clock.monoMs();
    for (const [id, sinceMs] of this.underWay) if (sinceMs + patienceMs <= nowMs) this.underWay.delete(id);
    for (const [id, hint] of this.waiting) {
      if (this.underWay.size >= width) break;
      this.waiting.delete(id);
      this.underWay.set(id, nowMs);
      deliver(hint);
    }
    if (this.waiting.size > 0) this.wake ??= clock.at(clock.nowMs() + patienceMs, () => { this.wake = undefined; this.next(); });
  }
}

/** `<kind>/<namespace>/<name>` of the artifact it tells of, where it says so. */
const sourceIn = ({ body }: Delivered): string => news.safeParse(body).data?.path.split("/").slice(0, 3).join("/") ?? "";

/** Those of the source with the artifact at this path that a unit is made of; undefined when that cannot be told. */
function directoriesOf(key: ActorKey, object: RawObject | undefined, artifactPath: string): string[] | undefined {
  if (!object) return undefined;
  const { path, valuesFrom = [], chartRef } = (object["spec"] ?? {}) as { path?: unknown } & Pick<HelmRelease["spec"], "valuesFrom" | "chartRef">;
  if (key.kind === "kustomization") return [withinRoot(typeof path === "string" ? path : "")];
  const isHere = (source: ActorKey | undefined) => source !== undefined && artifactPath.startsWith(`${objectId(source)}/`);
  if (chartRef && isHere({ kind: chartRef.kind.toLowerCase(), namespace: chartRef.namespace ?? key.namespace, name: chartRef.name })) return undefined;
  const directories = valuesFrom.flatMap((reference) => {
    const file = isHere(sourceOfFile(key, reference)) && valuesPath(reference.valuesKey);
    return file && "path" in file ? [withinRoot(posix.dirname(file.path))] : [];
  });
  return directories.length > 0 ? directories : undefined;
}
