/** For tests: a release's chart with a storage that behaves as docs/decisions/0009 says, and an owner that can crash between any two writes. */
import { answered, begin, failed, step } from "#machines/step.ts";
import type { FaultData } from "#protocol/errors/fault.ts";
import type { Notice } from "#protocol/messages/notice.ts";
import type { Difference } from "#protocol/messages/kustomization.ts";
import type { ReleaseFacts } from "#protocol/messages/object.ts";
import type { ActInput, ActOutcome, Composed, DriftStanding, Gone, KnownRelease, Offered, ReleaseStatus, StorageSeen, StoredRelease, TestHook } from "#protocol/messages/release.ts";
import { parseActorRecord, type ActorRecord, type Run } from "#protocol/records/actor.ts";
import { release, type ReleaseContext } from "./machine.ts";
import { releaseStatus } from "./status.ts";

const timeouts = { install: 300_000, upgrade: 300_000, rollback: 300_000, uninstall: 300_000, test: 300_000 };

export const facts: ReleaseFacts = {
  uid: "u1", generation: 1, deleting: false, finalizer: true, suspended: false, requestedAt: "", handledAt: "", intervalMs: 600_000, timeoutMs: 300_000,
  source: "chart/apps/shop", place: { name: "shop", namespace: "apps", storageNamespace: "apps" }, drift: "disabled",
  install: { retries: 0, ignoreTestFailures: false, remediateLast: false },
  upgrade: { retries: 0, ignoreTestFailures: false, remediateLast: false, strategy: "rollback", reinstalls: true },
  test: { enabled: false, ignoreFailures: false }, timeouts,
};

export const nothingKnown: KnownRelease = {
  history: [], storageNamespace: "", chart: "", failures: 0, installFailures: 0, upgradeFailures: 0, postRenderersDigest: "", commonMetadataDigest: "", inventory: [], observedGeneration: -1,
  handledForceAt: "", handledResetAt: "", conditions: [],
};

const unhealthy: FaultData = { code: "HealthCheckFailed", subject: "Deployment/apps/shop", detail: "timeout waiting for: [Deployment/apps/shop status: 'InProgress']" };

/** Thrown in place of an answer: the owner is gone, and what it had written stands. */
class Crash extends Error {}

export class Bed {
  record: ActorRecord;
  nowMs = 0;
  readonly notices: Notice[] = [];
  readonly acts: ActInput[] = [];
  /** Every write of an action: the storage as it is after it. */
  writes = 0;
  /** The owner crashes after so many writes; never when absent. */
  crashAfter?: number;
  composed: Composed = { chartName: "shop", chartVersion: "1.0.0", appVersion: "1", configDigest: "sha256:v1", postRenderersDigest: "", commonMetadataDigest: "" };
  storage: StoredRelease[] = [];
  /** Actions that do not become healthy, by what they are. */
  broken: (act: ActInput) => boolean = () => false;
  /** What an action throws before it has written anything. */
  refuses?: FaultData | undefined;
  hooks: Record<string, TestHook> = {};
  differences: Difference[] = [];
  standing: DriftStanding[] = [];
  known: KnownRelease = nothingKnown;
  /** What sources of values hold, by their ids; and of the chart's, when it was stored and by which change. */
  values?: Record<string, Offered> | undefined;
  stored = { storedAt: "2026-01-01T00:00:00Z", traceparent: "" };
  /** Whether the chart is not made yet of what its source holds. */
  behind = (): boolean => false;
  /** Of the values in the artifacts that were found; without it their digest is that of `composed`. */
  configDigest?: (valuesFrom: NonNullable<ReleaseContext["valuesFrom"]>) => string;
  /** What each action has deleted, and whether it had been begun before. */
  gone?: Gone | undefined;
  resumed = false;
  /** What was done, in order. */
  readonly performed: string[] = [];
  now: ReleaseFacts = facts;

  constructor() {
    this.record = begin(release, { key: "helmrelease/apps/shop" }, 0).record;
  }

  get state(): string {
    return String(this.record.snapshot["value"]);
  }

  get context(): ReleaseContext {
    return this.record.snapshot.context as unknown as ReleaseContext;
  }

  get status() {
    return releaseStatus(this.state, this.context);
  }

  condition(type: string) {
    return this.status?.conditions?.find((each) => each.type === type);
  }

  /** `v1 deployed, v2 failed`, oldest first. */
  get revisions(): string {
    return [...this.storage].sort((a, b) => a.version - b.version).map(({ version, status }) => `v${version} ${status}`).join(", ");
  }

  change(change: Partial<ReleaseFacts>): void {
    this.now = { ...this.now, generation: this.now.generation + 1, ...change };
    this.send({ type: "object", facts: this.now });
  }

  send(event: { type: string; [field: string]: unknown }): void {
    this.decide((record) => step(release, record, event, this.nowMs));
  }

  /** Until nothing runs. */
  run(most = 200): this {
    for (let i = 0; i < most; i++) if (!this.step()) return this;
    throw new Error(`${this.state} comes to no end`);
  }

  /** What is under way is done, or cut short by a crash. @returns whether anything was */
  step(): boolean {
    const [run] = this.record.runs;
    if (!run) return false;
    try {
      const output = this.perform(run);
      this.decide((record) => step(release, record, answered(run, output ?? null), this.nowMs));
    } catch (thrown) {
      if (thrown instanceof Crash) this.record = parseActorRecord(JSON.parse(JSON.stringify(this.record)));
      else this.decide((record) => step(release, record, failed(run, thrown), this.nowMs));
    }
    return true;
  }

  /** The timer that is due next, and what comes of it. */
  tick(): this {
    const [next] = [...this.record.timers].sort((a, b) => a.dueMs - b.dueMs);
    if (!next) throw new Error(`${this.state} waits for nothing`);
    this.nowMs = next.dueMs;
    this.record = { ...this.record, timers: this.record.timers.filter(({ id }) => id !== next.id) };
    this.send(next.event);
    return this.run();
  }

  private decide(how: (record: ActorRecord) => { record: ActorRecord; emits: { type: string }[] }): void {
    this.nowMs += 1;
    const { record, emits } = how(this.record);
    this.record = record;
    for (const emitted of emits) if (emitted.type === "notice") this.notices.push(emitted as Notice);
  }

  private perform({ src, input }: Run): unknown {
    this.performed.push(src);
    switch (src) {
      case "adopt": return null;
      case "applyChart": return { chart: "" };
      case "checkDependencies": return { awaits: [] };
      case "findChart": return { artifact: { revision: `${this.composed.chartVersion}@sha256:1`, digest: this.composed.chartVersion, sizeBytes: 1, path: "p", storedAt: this.stored.storedAt }, traceparent: this.stored.traceparent, ...(this.values && { values: this.values }), ...(this.behind() && { behind: true }), ociDigest: "", known: this.known };
      case "compose": return this.wanted;
      case "inspect": return { ...(this.last && { last: this.last }), known: this.storage, storage: this.seen };
      case "act": return this.act(input as ActInput);
      case "compare": return { differences: this.differences, standing: this.standing };
      case "correct": return this.correct();
      case "remove": return this.last ? { removed: this.uninstall("end", false) } : {};
      default: return null;
    }
  }

  private correct() {
    const changes = this.differences.map(({ id }) => ({ id, action: "configured" as const }));
    this.differences = [];
    return { changes };
  }

  private get wanted(): Composed {
    const { valuesFrom = {} } = this.context;
    return this.configDigest ? { ...this.composed, configDigest: this.configDigest(valuesFrom) } : this.composed;
  }

  /** Of what stands in storage now. */
  get seen(): StorageSeen {
    return { place: "apps/shop", mark: this.revisions, versions: this.storage.map(({ version }) => version) };
  }

  private get last(): StoredRelease | undefined {
    return [...this.storage].sort((a, b) => b.version - a.version)[0];
  }

  private act(act: ActInput): ActOutcome {
    if (!this.acts.some(({ intent }) => intent === act.intent)) this.acts.push(act);
    if (this.refuses) throw this.refuses;
    switch (act.action) {
      case "uninstall": return this.uninstall(act.intent, true);
      case "unlock": return { written: [this.write({ ...(this.last as StoredRelease), status: "failed", intent: act.intent })], log: [] };
      case "test": {
        const isBroken = Object.values(this.hooks).some(({ phase }) => phase === "Failed");
        return { written: [], testHooks: this.hooks, log: [], ...(isBroken && { fault: { code: "HealthCheckFailed", subject: "it", detail: "1 error occurred" } as const }) };
      }
      default: return this.make(act);
    }
  }

  private make(act: ActInput): ActOutcome {
    const there = this.storage.find(({ version }) => version === act.version);
    if (there && there.intent !== act.intent) throw { code: "ReleaseChanged", subject: "shop" };
    const source = act.to === undefined ? this.wanted : (this.storage.find(({ version }) => version === act.to) as StoredRelease);
    const pending = `pending-${act.action}` as ReleaseStatus;
    const { name, namespace } = this.now.place;
    const begun = there ?? this.write({
      name, namespace, version: act.version, status: pending, chartName: source.chartName, chartVersion: source.chartVersion, configDigest: source.configDigest, digest: "", firstDeployed: "t",
      lastDeployed: "t", intent: act.intent,
    });
    if (begun.status !== pending) return this.outcome([begun], begun.status === "failed");
    if (this.broken(act)) return this.outcome([this.write({ ...begun, status: "failed" })], true);
    const replaced = this.storage.filter(({ version, status }) => version !== act.version && (status === "deployed" || (act.action === "upgrade" && version === act.version - 1)));
    const superseded = replaced.map((each) => this.write({ ...each, status: "superseded" }));
    return this.outcome([this.write({ ...begun, status: "deployed" }), ...superseded], false);
  }

  private outcome(written: StoredRelease[], isBroken: boolean): ActOutcome {
    return { written, storage: this.seen, entries: [], ...this.ended, log: isBroken ? ["wait for resources"] : [], ...(isBroken && { fault: unhealthy }) };
  }

  private get ended(): Pick<ActOutcome, "gone" | "resumed"> {
    return { ...(this.gone && { gone: this.gone }), ...(this.resumed && { resumed: true }) };
  }

  private uninstall(intent: string, keeps: boolean): ActOutcome {
    const { last } = this;
    if (!last) return { written: [], absent: true, log: [] };
    const gone = this.write({ ...last, status: "uninstalled", intent });
    if (!keeps) this.storage = [];
    return { written: [gone], ...this.ended, log: [] };
  }

  private write(stored: StoredRelease): StoredRelease {
    const written = { ...stored, digest: `sha256:${stored.version}-${stored.status}` };
    this.storage = [...this.storage.filter(({ version }) => version !== stored.version), written];
    this.writes++;
    if (this.crashAfter === this.writes) throw new Crash();
    return written;
  }
}
