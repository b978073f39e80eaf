/** What must hold of a release at every moment: in storage, of its hooks and of its objects. Ids: docs/spec. */
import type { ReleaseContext } from "#machines/release/machine.ts";
import { annotations } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { ActInput } from "#protocol/messages/release.ts";
import { parseActorId } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import { endsAs, renderedObjects } from "./helm.ts";
import { releaseOf } from "./kube-client.ts";
import type { By, Change, SimulatedKube } from "./kube.ts";
import { contentsOf, maxHistory, type Contents } from "./release-objects.ts";

type Ports = {
  kube: SimulatedKube;
  nowMs(): number;
  /** Under which epoch the actor is owned now. */
  epochOf(unit: string): number;
  /** Whether its record asks for this run. */
  isAskedFor(unit: string, attempt: number): boolean;
  violated(rule: string, text: string): void;
};

const makes = new Set(["install", "upgrade", "rollback"]);
/** How a revision may go on from how it is; from each, it may be removed. */
const onward: Record<string, string[]> = {
  "pending-install": ["deployed", "failed", "uninstalling"], "pending-upgrade": ["deployed", "failed", "uninstalling"], "pending-rollback": ["deployed", "failed", "uninstalling"],
  deployed: ["superseded", "uninstalling"], failed: ["superseded", "uninstalling"], superseded: ["uninstalling"], uninstalling: ["uninstalled", "superseded"], uninstalled: ["superseded"],
};
const ended = new Set(["deployed", "superseded", "uninstalled"]);
/** No action takes longer, with hooks and waits, when nothing goes wrong. */
const longestPendingMs = 240_000;

export class ReleaseChecks {
  private readonly ports: Ports;
  /** By intent: the revision it made. */
  private readonly made = new Map<string, number>();
  /** Decisions that were kept, by intent. */
  private readonly decided = new Map<string, ActInput>();
  /** Those whose revision was made when its owner was gone. */
  private readonly late = new Set<string>();
  /** How often the Job of a hook was made in one action: `<intent> <job>`. */
  private readonly runs = new Map<string, number>();
  private readonly pendingSinceMs = new Map<string, number>();
  /** Objects of revisions that history had no room for before anything replaced them: nobody knows of them any more. */
  private readonly forgotten = new Set<string>();
  /** Who wrote a revision, by its path. */
  readonly writers = new Map<string, Set<string>>();

  constructor(ports: Ports) {
    this.ports = ports;
    ports.kube.watch((change) => this.changed(change));
  }

  recorded(before: ActorRecord | undefined, after: ActorRecord): void {
    const [was, { act, facts }] = [before, after].map((each) => (each?.snapshot.context ?? {}) as Partial<ReleaseContext>) as [Partial<ReleaseContext>, Partial<ReleaseContext>];
    if (!act || this.decided.has(act.intent)) return;
    const isSuspended = facts?.suspended === true && was.facts?.suspended === true && was.facts.uid === facts.uid; // not by what is decided on together
    this.expect(!isSuspended, "RC6", () => `${act.action} ${act.version} was decided on, and the object is suspended`);
    this.decided.set(act.intent, act);
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
    else if (object && releaseOf(object) !== undefined && by.act && !this.isLate(by)) this.wrote(change, object); // what an owner that is gone had sent is judged when all is calm
  }

  private stored({ verb, path, before, after, by }: Change, object: KubeObject): void {
    const version = Number(object.metadata.labels?.["version"]);
    const [was, is] = [before, after].map((each) => each?.metadata.labels?.["status"] ?? "");
    const intent = after?.metadata.annotations?.[annotations.intent] ?? "";
    const others = this.revisions(path).filter((each) => each.path !== path);
    if (is?.startsWith("pending-") && !was?.startsWith("pending-")) this.pendingSinceMs.set(path, this.ports.nowMs());
    else if (!is?.startsWith("pending-")) this.pendingSinceMs.delete(path);
    if (by.act) this.writers.set(path, (this.writers.get(path) ?? new Set()).add(by.worker));
    if (verb === "create" && by.act) {
      this.expect(is?.startsWith("pending-") === true, "RL20", () => `${path} begins as ${is}`);
      this.expect(makes.has(this.decided.get(intent)?.action ?? "") && this.decided.get(intent)?.version === version, "HR12", () => `${path} was made under ${intent}, and no record has decided on that`);
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
      const isOfThis = mine.startsWith(`${this.ports.kube.get(pathOf(by.unit ?? ""))?.metadata.uid ?? ""}.`); // one that was let go finishes nothing
      this.expect(!unlocks || !isOfThis || !this.decided.has(mine) || this.late.has(mine), "HR12", () => `${path} was unlocked in place of being finished: ${mine}`);
    }
    if (verb === "delete" && by.act) {
      this.dropped(path, was ?? "", others.length, by);
      const isReplaced = others.some((each) => each.version > version && ended.has(each.status));
      if (before && makes.has(by.act.input?.action ?? "") && !isReplaced) for (const name of contentsOf(before).objects.keys()) this.forgotten.add(name);
    }
    const deployed = [...others, { path, version, status: is }].filter(({ status }) => status === "deployed");
    this.expect(deployed.length <= 1, "RL2", () => `${deployed.map((each) => each.path).join(" and ")} are both deployed`);
  }

  /** History is shortened for the next revision alone, and not below what is to be kept. */
  private dropped(path: string, was: string, left: number, by: By): void {
    const { src, input: { action = "" } = {} } = by.act ?? {};
    const ends = action === "uninstall" || src === "remove";
    this.expect(ends || was !== "deployed", "RL3", () => `${path} was removed while deployed`);
    const shortens = makes.has(action) && (left >= maxHistory - 1 || this.isLate(by));
    const isStray = src === "sweep" && was.startsWith("pending-");
    this.expect(ends || shortens || isStray, "RL3", () => `${path}, ${was}, was removed by ${src} ${action}, and ${left} are left`);
  }

  /** A write to an object of the release, by one of its effects. */
  private wrote(change: Change, object: KubeObject): void {
    const { verb, path, after, by } = change;
    const { src, input: act } = by.act ?? {};
    const decided = this.decided.get(act?.intent ?? "");
    this.expect(src !== "act" || (decided?.action === act?.action && decided?.version === act?.version), "OW13", () => `${path} was written for ${act?.action} ${act?.intent}, and no record has decided on that`);
    if (src === "act" && makes.has(act?.action ?? "")) return this.wroteFor(change, object, act as ActInput);
    const { unit = "" } = by;
    if (src === "remove") {
      const live = this.ports.kube.get(pathOf(unit));
      this.expect(!live || live.metadata.deletionTimestamp !== undefined, "HR11", () => `${path} was removed, and ${unit} is not`);
    }
    if (src === "correct") {
      const newest = this.revisions(storageOf(unit)).find(({ status }) => status === "deployed");
      const wanted = newest && this.contents(newest.path)?.objects.get(nameOf(object));
      this.expect(after !== undefined && wanted !== undefined && JSON.stringify(after["data"]) === JSON.stringify(wanted["data"]), "RL40", () => `${path} was put back as ${JSON.stringify(after?.["data"])}, and ${newest?.path} says ${JSON.stringify(wanted?.["data"])}`);
      return;
    }
    if (src === "sweep" && !isHook(object)) {
      const [newest] = this.revisions(storageOf(unit)).sort((a, b) => b.version - a.version);
      const isWanted = newest?.status === "deployed" && this.contents(newest.path)?.objects.has(nameOf(object));
      const isLeaving = this.ports.kube.get(pathOf(unit))?.metadata.deletionTimestamp !== undefined;
      this.expect(verb === "delete" && (!isWanted || isLeaving), "FN16", () => `${path} was swept away, and ${newest?.path} has it`);
    }
    this.expect(verb === "delete" || isHook(after ?? object), "RL20", () => `${path} was written by ${src} ${act?.action ?? ""}`);
  }

  private wroteFor({ verb, path, after, by }: Change, object: KubeObject, act: ActInput): void {
    const at = `${storageOf(by.unit ?? "")}${act.version}`;
    const secret = this.ports.kube.get(at);
    const isBegun = secret?.metadata.annotations?.[annotations.intent] === act.intent && secret?.metadata.labels?.["status"]?.startsWith("pending-");
    const cleansUp = verb === "delete" && cleansUpFor(this.ports.kube.get(pathOf(by.unit ?? ""))) && secret?.metadata.labels?.["status"] === "failed";
    this.expect(isBegun === true || cleansUp, "RL20", () => `${path} was written while revision ${act.version} is ${secret?.metadata.labels?.["status"] ?? "not there"}`);
    const { objects, hooks } = this.contents(at) ?? { objects: new Map<string, KubeObject>(), hooks: new Map<string, string[]>() };
    const [wanted, policies] = [objects.get(nameOf(object)), hooks.get(nameOf(object))];
    if (verb === "delete") {
      if (!cleansUp) this.expect(!wanted && (!isHook(object) || policies !== undefined), "RL7", () => `${path} was deleted, and revision ${act.version} has it`);
      return;
    }
    const isAsWanted = isHook(object) ? policies !== undefined : wanted !== undefined && JSON.stringify(wanted["data"]) === JSON.stringify(after?.["data"]);
    this.expect(isAsWanted, "RL20", () => `${path} was written as ${JSON.stringify(after?.["data"])}, and revision ${act.version} says ${JSON.stringify(wanted?.["data"])}`);
    if (verb !== "create" || !isHook(object)) return;
    const event = secret?.metadata.annotations?.[annotations.stage] ?? "";
    const run = `${act.intent} ${event} ${object.metadata.name}`;
    this.runs.set(run, (this.runs.get(run) ?? 0) + 1);
    this.expect(this.runs.get(run) === 1, "RL20", () => `the hook ${object.metadata.name} ran ${this.runs.get(run)} times for ${event} of ${act.intent}`);
  }

  /** Sent under another ownership than there is now, or by a run that was called off since. */
  private isLate({ unit = "", epoch = 0, attempt = 0 }: By): boolean {
    return epoch < this.ports.epochOf(unit) || !this.ports.isAskedFor(unit, attempt);
  }

  private contents(path: string): Contents | undefined {
    const secret = this.ports.kube.get(path);
    return secret && contentsOf(secret);
  }

  private revisions(path: string): { path: string; version: number; status: string }[] {
    const prefix = path.slice(0, path.lastIndexOf(".v"));
    return this.ports.kube.list().filter(({ path: each }) => each.startsWith(`${prefix}.v`))
      .map(({ path: each, object }) => ({ path: each, version: Number(object.metadata.labels?.["version"]), status: object.metadata.labels?.["status"] ?? "" }));
  }

  private expect(holds: boolean, rule: string, text: () => string): void {
    if (!holds) this.ports.violated(rule, text());
  }

  /**
   * Empty when the release is as its chart wants it: one deployed revision, none pending, its objects and no others.
   *
   * @param wasLetGo its object may have gone while it was suspended: then what it had stays
   */
  whyNotCalm(unit: string, chart: Record<string, string> | undefined, record: ActorRecord | undefined, wasLetGo: boolean): string[] {
    const { name } = parseActorId(unit);
    const revisions = this.revisions(storageOf(unit)).sort((a, b) => b.version - a.version);
    const live = this.ports.kube.list().filter(({ object }) => releaseOf(object) === unit).map(({ object }) => object);
    const objects = live.filter((each) => !isHook(each));
    const isLeft = (each: KubeObject) => !this.forgotten.has(nameOf(each));
    const isKept = wasLetGo || revisions[0]?.status === "uninstalled"; // its history was to be kept
    if (chart === undefined)
      return [
        ...(record ? [`[HR11] ${unit} has a record`] : []),
        ...(isKept ? [] : revisions.map(({ version, status }) => `[FN17] revision ${version} of ${unit} is left, ${status}`)),
        ...(wasLetGo ? [] : objects.filter(isLeft).map(({ metadata }) => `[FN17] ${metadata.name} of ${unit} is left`)),
      ];
    const { metadata: { generation } = {}, spec = {}, status = {} } = (this.ports.kube.get(pathOf(unit)) ?? {}) as Partial<KubeObject> & { spec?: { values?: object }; status?: { history?: { version: number; status: string }[] } };
    const { values = {} } = spec;
    const wanted = renderedObjects(name, chart, values);
    const gone = Object.entries(chart).filter(([key, value]) => key.startsWith("hook_") && value.endsWith("gone")).map(([key]) => `${name}-${key.split("_").slice(2).join("-")}`);
    const [newest] = revisions;
    const [said] = status.history ?? [];
    const config = JSON.stringify((newest && this.contents(newest.path))?.config ?? {});
    return [
      ...(record?.snapshot["value"] === "settled" ? [] : [`[HR1] ${unit} is ${String(record?.snapshot["value"])} (generation ${String(generation)})`]),
      ...(newest?.status === "deployed" ? [] : [`[HR12] the newest revision of ${unit}, ${newest?.version}, is ${newest?.status}`]),
      ...revisions.filter((each) => each.status.startsWith("pending-")).map((each) => `[HR12] revision ${each.version} of ${unit} is ${each.status}`),
      ...(said?.version === newest?.version && said?.status === "deployed" ? [] : [`[HR1] ${unit} says ${said?.version} ${said?.status}, storage has ${newest?.version}`]),
      ...(config === JSON.stringify(values) ? [] : [`[HR1] ${unit} has the values ${config} and not ${JSON.stringify(values)}`]),
      ...[...wanted].flatMap(([key, data]) => {
        const found = objects.find((each) => nameOf(each) === key);
        return found && JSON.stringify(found["data"]) === JSON.stringify(data) ? [] : [`[HR1] ${key} is not as rendered`];
      }),
      ...objects.filter((each) => !wanted.has(nameOf(each)) && isLeft(each)).map((each) => `[FN16] ${nameOf(each)} of ${unit} is not wanted`),
      ...live.filter((each) => isHook(each) && !wasLetGo && gone.includes(each.metadata.name) && each.metadata.annotations?.[endsAs] === "Complete").map(({ metadata }) => `[FN16] the hook ${metadata.name} of ${unit} is back`),
    ];
  }
}

export const isRelease = (unit: string): boolean => parseActorId(unit).kind === "helmrelease";

const isHook = ({ metadata }: KubeObject): boolean => metadata.annotations?.[annotations.hook] !== undefined;
const cleansUpFor = (object: KubeObject | undefined): boolean => (object?.["spec"] as { upgrade?: { cleanupOnFail?: boolean } } | undefined)?.upgrade?.cleanupOnFail === true;
const nameOf = ({ kind, metadata }: KubeObject): string => `${kind} ${metadata.name}`;

function pathOf(unit: string): string {
  const { name, namespace } = parseActorId(unit);
  return `HelmRelease/${namespace}/${name}`;
}

/** What the paths of all its revisions begin with. */
function storageOf(unit: string): string {
  const { name, namespace } = parseActorId(unit);
  return `Secret/${namespace}/sh.helm.release.v1.${name}.v`;
}
