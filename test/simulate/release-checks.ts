/** What must hold of a release at every moment: in storage, of its hooks and of its objects. Ids: docs/spec. */
import type { ReleaseContext } from "#machines/release/machine.ts";
import { annotations, helm } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { ActInput } from "#protocol/messages/release.ts";
import { parseActorId } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { releaseOf } from "./kube-client.ts";
import type { By, Change, SimulatedKube } from "./kube.ts";

type Ports = {
  kube: SimulatedKube;
  nowMs(): number;
  /** Under which epoch the actor is owned now. */
  epochOf(unit: string): number;
  violated(rule: string, text: string): void;
};

const makes = new Set(["install", "upgrade", "rollback"]);
/** How a revision may go on from how it is; from each, it may be removed. */
const onward: Record<string, string[]> = {
  "pending-install": ["deployed", "failed", "uninstalling"], "pending-upgrade": ["deployed", "failed", "uninstalling"], "pending-rollback": ["deployed", "failed", "uninstalling"],
  deployed: ["superseded", "uninstalling"], failed: ["superseded", "uninstalling"], superseded: ["uninstalling"], uninstalling: ["uninstalled", "superseded"], uninstalled: ["superseded"],
};
/** No action takes longer, with hooks and waits, when nothing goes wrong. */
const longestPendingMs = 240_000;

export class ReleaseChecks {
  private readonly ports: Ports;
  /** By intent: the revision it made. */
  private readonly made = new Map<string, number>();
  /** Decisions to make a revision that were kept, by intent. */
  private readonly decided = new Map<string, ActInput>();
  /** Those whose revision was made when its owner was gone. */
  private readonly late = new Set<string>();
  /** How often the Job of a hook was made in one action: `<intent> <job>`. */
  private readonly runs = new Map<string, number>();
  private readonly pendingSinceMs = new Map<string, number>();

  constructor(ports: Ports) {
    this.ports = ports;
    ports.kube.watch((change) => this.changed(change));
  }

  recorded(record: ActorRecord): void {
    const { act } = record.snapshot.context as Partial<ReleaseContext>;
    if (act && makes.has(act.action)) this.decided.set(act.intent, act);
  }

  /** Nothing stays pending. */
  notice(disturbedMs: number): void {
    const nowMs = this.ports.nowMs();
    for (const [path, sinceMs] of this.pendingSinceMs)
      this.expect(nowMs - Math.max(sinceMs, disturbedMs) <= longestPendingMs, "HR12", () => `${path} has been pending for ${nowMs - sinceMs} ms`);
  }

  private changed(change: Change): void {
    const { path, before, after, by } = change;
    const object = after ?? before;
    if (object && path.startsWith("Secret/") && object["type"] === "helm.sh/release.v1") this.stored(change, object);
    else if (object && releaseOf(object) !== undefined && by.act) this.wrote(change, object);
  }

  private stored({ verb, path, before, after, by }: Change, object: KubeObject): void {
    const version = Number(object.metadata.labels?.["version"]);
    const [was, is] = [before, after].map((each) => each?.metadata.labels?.["status"] ?? "");
    const intent = after?.metadata.annotations?.[annotations.intent] ?? "";
    const others = this.revisions(path).filter((each) => each.path !== path);
    if (is?.startsWith("pending-") && !was?.startsWith("pending-")) this.pendingSinceMs.set(path, this.ports.nowMs());
    else if (!is?.startsWith("pending-")) this.pendingSinceMs.delete(path);
    if (verb === "create" && by.act) {
      this.expect(is?.startsWith("pending-") === true, "RL20", () => `${path} begins as ${is}`);
      this.expect(this.decided.get(intent)?.version === version, "HR12", () => `${path} was made under ${intent}, and no record has decided on that`);
      this.expect(this.made.get(intent) === undefined || this.made.get(intent) === version, "HR12", () => `${intent} made revision ${version} after ${this.made.get(intent)}`);
      this.made.set(intent, version);
      if (this.isLate(by)) this.late.add(intent);
      const newest = Math.max(0, ...others.map((each) => each.version));
      this.expect(version === newest + 1 || this.isLate(by), "RL2", () => `${path} was made beside revision ${newest}`);
    }
    if (verb === "update" && was !== is) {
      this.expect(onward[was ?? ""]?.includes(is ?? "") === true, "RL2", () => `${path} went from ${was} to ${is}`);
      const unlocks = by.act?.input?.action === "unlock";
      const mine = before?.metadata.annotations?.[annotations.intent] ?? "";
      this.expect(!unlocks || !this.decided.has(mine) || this.late.has(mine), "HR12", () => `${path} was unlocked in place of being finished: ${mine}`);
    }
    if (verb === "delete" && was === "deployed") this.expect(by.act?.input?.action === "uninstall" || by.act?.src === "remove", "RL3", () => `${path} was removed while deployed`);
    const deployed = [...others, { path, version, status: is }].filter(({ status }) => status === "deployed");
    this.expect(deployed.length <= 1, "RL2", () => `${deployed.map((each) => each.path).join(" and ")} are both deployed`);
  }

  /** A write to an object of the release, by one of its actions. */
  private wrote({ verb, path, after, by }: Change, object: KubeObject): void {
    const act = by.act?.input;
    if (!act?.action || !makes.has(act.action)) return;
    if (this.isLate(by)) return; // what an owner that is gone had sent is judged when all is calm
    const { name, namespace } = parseActorId(by.unit ?? "");
    const secret = this.ports.kube.get(`Secret/${namespace}/sh.helm.release.v1.${name}.v${act.version}`);
    const begun = secret?.metadata.annotations?.[annotations.intent] === act.intent && secret?.metadata.labels?.["status"]?.startsWith("pending-");
    this.expect(begun === true, "RL20", () => `${path} was written while revision ${act.version} is ${secret?.metadata.labels?.["status"] ?? "not there"}`);
    if (verb !== "create" || after?.kind !== "Job") return;
    const event = secret?.metadata.annotations?.[annotations.stage] ?? "";
    const run = `${act.intent} ${event} ${object.metadata.name}`;
    this.runs.set(run, (this.runs.get(run) ?? 0) + 1);
    this.expect(this.runs.get(run) === 1, "RL20", () => `the hook ${object.metadata.name} ran ${this.runs.get(run)} times for ${event} of ${act.intent}`);
  }

  /** Sent under another ownership than there is now. */
  private isLate({ unit = "", epoch = 0 }: By): boolean {
    return epoch < this.ports.epochOf(unit);
  }

  private revisions(path: string): { path: string; version: number; status: string }[] {
    const prefix = path.slice(0, path.lastIndexOf(".v"));
    return this.ports.kube.list().filter(({ path: each }) => each.startsWith(`${prefix}.v`))
      .map(({ path: each, object }) => ({ path: each, version: Number(object.metadata.labels?.["version"]), status: object.metadata.labels?.["status"] ?? "" }));
  }

  private expect(holds: boolean, rule: string, text: () => string): void {
    if (!holds) this.ports.violated(rule, text());
  }

  /** Empty when the release is as its chart wants it: one deployed revision, none pending, its objects and no others. */
  whyNotCalm(unit: string, wanted: Record<string, string> | undefined, record: ActorRecord | undefined): string[] {
    const { name, namespace } = parseActorId(unit);
    const revisions = this.revisions(`Secret/${namespace}/sh.helm.release.v1.${name}.v`).sort((a, b) => b.version - a.version);
    const live = this.ports.kube.list().filter(({ object }) => releaseOf(object) === unit).map(({ object }) => object);
    const maps = live.filter(({ kind, metadata }) => kind === "ConfigMap" && metadata.annotations?.[helm.releaseName] === name);
    if (wanted === undefined)
      return [
        ...(record ? [`[HR11] ${unit} has a record`] : []),
        ...revisions.map(({ version, status }) => `[FN17] revision ${version} of ${unit} is left, ${status}`),
        ...maps.map(({ metadata }) => `[FN17] ${metadata.name} of ${unit} is left`),
      ];
    const objects = Object.entries(wanted).filter(([key]) => !key.startsWith("hook_"));
    const gone = Object.entries(wanted).filter(([key, value]) => key.startsWith("hook_") && value.endsWith("gone")).map(([key]) => `${name}-${key.split("_").slice(2).join("-")}`);
    const [newest] = revisions;
    const status = (this.ports.kube.get(`HelmRelease/${namespace}/${name}`)?.["status"] ?? {}) as { history?: { version: number; status: string }[] };
    const [said] = status.history ?? [];
    const kept = this.ports.kube.get(`HelmRelease/${namespace}/${name}`)?.metadata.generation;
    return [
      ...(record?.snapshot["value"] === "settled" ? [] : [`[HR1] ${unit} is ${String(record?.snapshot["value"])} (generation ${String(kept)})`]),
      ...(newest?.status === "deployed" ? [] : [`[HR12] the newest revision of ${unit}, ${newest?.version}, is ${newest?.status}`]),
      ...revisions.filter((each) => each.status.startsWith("pending-")).map((each) => `[HR12] revision ${each.version} of ${unit} is ${each.status}`),
      ...(said?.version === newest?.version && said?.status === "deployed" ? [] : [`[HR1] ${unit} says ${said?.version} ${said?.status}, storage has ${newest?.version}`]),
      ...objects.flatMap(([key, value]) => {
        const found = maps.find(({ metadata }) => metadata.name === `${name}-${key}`);
        return (found?.["data"] as { value?: string } | undefined)?.value === value ? [] : [`[HR1] ${name}-${key} is not as rendered`];
      }),
      ...maps.filter(({ metadata }) => !objects.some(([key]) => metadata.name === `${name}-${key}`)).map(({ metadata }) => `[FN16] ${metadata.name} of ${unit} is not wanted`),
      ...live.filter(({ kind, metadata }) => kind === "Job" && gone.includes(metadata.name)).map(({ metadata }) => `[FN16] the hook ${metadata.name} of ${unit} is back`),
    ];
  }
}

export const isRelease = (unit: string): boolean => parseActorId(unit).kind === "helmrelease";
