/** What Helm's storage holds of a release, in the words of its chart: read where that has to be, and remembered where nothing happened. */
import { storageMark, storagePlace } from "#machines/rules/release-storage.ts";
import type { ReleaseContext } from "#machines/release/machine.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActInput, Inspected, ReleasePlace, StorageSeen, StoredRelease } from "#protocol/messages/release.ts";
import { actorId } from "#protocol/names/actor.ts";
import type { ReleaseCall } from "#services/release/call.ts";
import { Ledger } from "#services/release/ledger.ts";
import { readManifest, placedStill } from "#services/release/manifest.ts";
import { bareEntries } from "#services/release/objects.ts";
import { listRevisions, readRevision, type Stored } from "#services/release/storage.ts";
import type { Helm, ReleaseDocument } from "#services/render/helm/types.ts";
import type { Clock } from "#services/store/clock.ts";
import type { ClusterPort } from "../cluster-port.ts";
import type { EffectCall } from "../host.ts";

export type StoragePorts = { helm: Pick<Helm, "digest">; cluster: Pick<ClusterPort, "storageOf">; clock: Clock };

/** An action that begins so soon after a look goes on from what that has seen. */
const freshMs = 15_000;
const mostLedgers = 1_000;

export class ReleaseStorage {
  private readonly ports: StoragePorts;
  /** Of looks that an action may follow, by unit. */
  private readonly ledgers = new Map<string, { ledger: Ledger; atMs: number }>();

  constructor(ports: StoragePorts) {
    this.ports = ports;
  }

  /** For an action: each look serves one. */
  ledgerFor({ key, recovered }: EffectCall): Ledger {
    const found = this.ledgers.get(actorId(key));
    this.ledgers.delete(actorId(key));
    return found && !recovered && this.ports.clock.monoMs() - found.atMs < freshMs ? found.ledger : new Ledger();
  }

  /** Undefined: it has to be looked at. */
  remembered(call: EffectCall, place: ReleasePlace): Inspected | undefined {
    const { storage, history, done } = contextOf(call);
    const [latest] = history;
    const at = storagePlace(place);
    if (!latest || !storage?.settled || storage.place !== at) return undefined;
    // What an action of this very run has left needs no witness.
    if (done.length === 0 && this.ports.cluster.storageOf(call.key, at) !== storage.mark) return undefined;
    const { settled: _, ...seen } = storage;
    return { storage: seen, last: latest, known: history.filter(({ version }) => storage.versions.includes(version)) };
  }

  async inspect(call: EffectCall, without: Omit<ReleaseCall, "ledger">): Promise<Inspected> {
    const context = contextOf(call);
    const { history, composed } = context;
    const ledger = new Ledger();
    const release: ReleaseCall = { ...without, ledger };
    const revisions = await listRevisions(release);
    const [newest] = revisions;
    const stored = newest && (await readRevision(release, newest.version));
    const last = stored && (await this.described(call, stored));
    const wanted = new Set(history.map(({ version }) => version));
    const older = await Promise.all(revisions.filter(({ version }) => version !== newest?.version && wanted.has(version)).map(async ({ version }) => {
      // One that cannot be read is not gone back to.
      const found = await readRevision(release, version).catch((thrown: unknown) => {
        if (thrown instanceof Fault && thrown.code === "ReleaseUnreadable") return undefined;
        throw thrown;
      });
      return found ? [await this.described(call, found)] : [];
    }));
    const isStrange = stored && history.length === 0 && stored.document.info.status === "deployed";
    const entries = isStrange && bareEntries(await placedStill(release.cluster, await readManifest(stored.document.manifest, release.place.name, release.signal), stored.document.namespace || release.place.namespace));
    this.remember(call, ledger, last?.configDigest !== composed?.configDigest || last?.chartVersion !== composed?.chartVersion);
    return {
      ...(entries && { entries }), ...(last && { last }), known: [...(last && wanted.has(last.version) ? [last] : []), ...older.flat()],
      storage: { place: storagePlace(release.place), mark: storageMark(revisions), versions: revisions.map(({ version }) => version) },
    };
  }

  /** A revision as the chart knows it. @param act that has written it */
  async described(call: EffectCall, { document, revision }: Stored, act?: ActInput): Promise<StoredRelease> {
    const { digest, configDigest } = await this.ports.helm.digest(document as unknown as ReleaseDocument, ociDigestOf(contextOf(call), document.version, act), call.signal);
    const { name = "", version = "", appVersion } = (document.chart?.metadata ?? {}) as { name?: string; version?: string; appVersion?: string };
    const { status, first_deployed, last_deployed, deleted } = document.info;
    return {
      name: document.name, namespace: document.namespace, version: document.version, status, chartName: name, chartVersion: version, ...(appVersion && { appVersion }),
      configDigest, digest, firstDeployed: inSeconds(first_deployed), lastDeployed: inSeconds(last_deployed), ...(deleted && { deleted: inSeconds(deleted) }),
      ...(revision.intent !== undefined && { intent: revision.intent }),
    };
  }

  /** @param whole what was read is of use to the action that is to be expected */
  private remember({ key }: EffectCall, ledger: Ledger, whole: boolean): void {
    const nowMs = this.ports.clock.monoMs();
    for (const [unit, { atMs }] of this.ledgers)
      if (nowMs - atMs >= freshMs || this.ledgers.size >= mostLedgers) this.ledgers.delete(unit);
      else break;
    if (!whole) ledger.forgetDocuments();
    this.ledgers.set(actorId(key), { ledger, atMs: nowMs });
  }
}

/** What an action has left in storage, where it has seen all of it. */
export function leftBy({ ledger, place }: ReleaseCall): StorageSeen | undefined {
  const revisions = ledger?.list();
  return revisions && { place: storagePlace(place), mark: storageMark(revisions), versions: revisions.map(({ version }) => version) };
}

const contextOf = ({ context }: EffectCall) => context as unknown as ReleaseContext;

/** What the history says of a revision, or what this action brings. */
function ociDigestOf({ ociDigest, history }: ReleaseContext, version: number, act?: ActInput): string {
  if (act && version === act.version && (act.action === "install" || act.action === "upgrade")) return ociDigest;
  return history.find((each) => each.version === version)?.ociDigest ?? "";
}

/** As Kubernetes writes times: whole seconds of UTC. */
const inSeconds = (time: string | undefined): string => {
  const ms = Date.parse(time ?? "");
  return Number.isNaN(ms) ? "1970-01-01T00:00:00Z" : new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(/\.\d+Z$/, "Z");
};
