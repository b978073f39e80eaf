/** What the release chart asks for: find the chart, compose, look at storage, let Helm act, compare, remove. */
import { isAccountName, accountOf, type Tenancy } from "#machines/rules/tenancy.ts";
import { trackedVersion } from "#machines/rules/chart-version.ts";
import { storagePlace } from "#machines/rules/release-storage.ts";
import type { ReleaseContext } from "#machines/release/machine.ts";
import type { SourceContext } from "#machines/source/machine.ts";
import { helmRelease } from "#protocol/api/helm-release.ts";
import { kindOf as registered } from "#protocol/api/registry.ts";
import { Fault, isPassing } from "#protocol/errors/fault.ts";
import type { DependencyOutcome } from "#protocol/messages/kustomization.ts";
import type { SourceFacts } from "#protocol/messages/object.ts";
import type { ActInput, ActOutcome, ChartFound, Composed, CorrectOutcome, DriftOutcome, Inspected, Offered, ReleasePlace, ReleaseRemoved } from "#protocol/messages/release.ts";
import type { Artifact } from "#protocol/messages/source.ts";
import { parseActorId, partitionOf, type ActorKey } from "#protocol/names/actor.ts";
import type { ActorRecord } from "#protocol/records/actor.ts";
import type { Acted, ReleaseCall } from "#services/release/call.ts";
import { correctDrift, findDrift } from "#services/release/drift.ts";
import type { Ledger } from "#services/release/ledger.ts";
import { make, type Composition } from "#services/release/make.ts";
import { sweepLate } from "#services/release/late.ts";
import { listRevisions, readRevision, type Stored } from "#services/release/storage.ts";
import { testRelease } from "#services/release/test-release.ts";
import { uninstall } from "#services/release/uninstall.ts";
import { unlock } from "#services/release/unlock.ts";
import type { Cel } from "#services/render/cel.ts";
import type { ChartFacts, ChartHandle, ComposedValues, Helm, PostRender, ReleaseDocument } from "#services/render/helm/types.ts";
import type { Renderer } from "#services/render/render.ts";
import { handleOf, type ArtifactStore } from "#services/store/artifacts.ts";
import type { Clock } from "#services/store/clock.ts";
import type { ClusterPort, Target } from "../cluster-port.ts";
import { declared, type RawObject } from "../facts.ts";
import type { EffectCall } from "../host.ts";
import { shown, type Effects } from "./effects.ts";
import { checkExpressions, judgeOf } from "./health-expressions.ts";
import type { HubObjects } from "./hub-objects.ts";
import { redacted, withoutValues } from "./redaction.ts";
import { createsNamespace, definitionPolicy, makeOptions, uninstallOptions } from "./release-actions.ts";
import { applyChart, deleteChart, isStanding } from "./release-chart.ts";
import { capabilitiesOf, lookupIn } from "./release-cluster.ts";
import { knownIn } from "./release-known.ts";
import { leftBy, ReleaseStorage } from "./release-storage.ts";
import { filesFor, offersTo } from "./release-sources.ts";
import { composedValues } from "./release-values.ts";
import { targetOf } from "./target.ts";
import { listed } from "./unit-object.ts";

/** Helm's engine. */
export type HelmPort = Pick<Helm, "loadChart" | "composeValues" | "render" | "digest" | "digestSpec">;

export type ReleasePorts = {
  hub: HubObjects;
  /** The artifact a source holds now, and the trace of its change. */
  held(source: ActorKey): Promise<Offered | "no artifact" | "no source">;
  /** Of any actor, wherever it is hosted. */
  recordOf(key: ActorKey): Promise<ActorRecord | undefined>;
  dependencies(call: EffectCall): Promise<DependencyOutcome>;
  epochOf(unit: ActorKey): number;
  artifacts: Pick<ArtifactStore, "get">;
  renderer: Pick<Renderer, "tree">;
  helm: HelmPort;
  cel: Pick<Cel, "compile" | "evaluate" | "evaluateAll">;
  cluster: ClusterPort;
  tenancy: Tenancy;
  clock: Clock;
  kindOf(actorKind: string): string;
};

type Spec = ReturnType<typeof helmRelease.parse>["spec"];

export function releaseEffects(ports: ReleasePorts): Effects {
  const { hub, helm, cluster, tenancy } = ports;
  const storage = new ReleaseStorage(ports);

  const contextOf = ({ context }: EffectCall) => context as unknown as ReleaseContext;
  const specOf = (live: RawObject): Spec => helmRelease.parse(declared(live)).spec;
  const needSpec = async (key: ActorKey) => specOf(await hub.need(key));
  const targetFor = (call: EffectCall, spec: Spec): Target => targetOf(call.key, spec, tenancy, contextOf(call).facts?.timeoutMs ?? 300_000);

  /** What its own actor saw last of a source. */
  async function seenOf(id: string): Promise<SourceFacts | undefined> {
    const record = await ports.recordOf(parseActorId(id));
    return (record?.snapshot.context as unknown as SourceContext | undefined)?.facts ?? undefined;
  }

  function sourceOf(call: EffectCall): Artifact {
    const { source } = contextOf(call);
    if (!source) throw new Fault("ArtifactMissing", shown("HelmRelease", call.key));
    return source;
  }

  const chartOf = (call: EffectCall): ChartHandle => handleOf(ports.artifacts, sourceOf(call));

  /** Runs with what every action of the release needs, where it lies or is to lie. */
  function onRelease<T>(call: EffectCall, spec: Spec, place: ReleasePlace, intent: string, run: (release: ReleaseCall) => Promise<T>, ledger?: Ledger): Promise<T> {
    const { traceparent } = contextOf(call);
    return cluster.within(call.key, targetFor(call, spec), (handle, guard, table) => run({
      cluster: handle, place, guard, ledger, table: isWatched(contextOf(call)) ? table : { ...table, follow: () => {} }, signal: call.signal, intent, origin: { namespace: call.key.namespace, name: call.key.name },
      ...(traceparent && { traceparent: () => traceparent }),
      ...((call.recovered || contextOf(call).wary !== undefined) && { wary: true }),
      ...(call.recovered && { touch: { epoch: `${partitionOf(call.key)}:${ports.epochOf(call.key)}` } }),
      ...(spec.healthCheckExprs && { judge: judgeOf(spec.healthCheckExprs, ports.cel) }),
    }));
  }

  /** Tags move, so that only the digest tells two charts of one version apart. */
  const isTracked = (source: string, { revision }: Artifact): boolean => registered(parseActorId(source).kind)?.source?.tracked === true && revision.includes(":");

  /** Chart and values as they are to be released. */
  async function composition(call: EffectCall, spec: Spec): Promise<{ composed: Composed; values: ComposedValues; facts: ChartFacts }> {
    const source = sourceOf(call);
    const [facts, values, digests] = await Promise.all([
      helm.loadChart(chartOf(call), call.signal),
      composedValues(helm, spec, call.key, { data: (ref) => hub.data(ref), files: filesFor(call.key, contextOf(call), ports) }, call.signal),
      // Most have neither.
      spec.postRenderers || spec.commonMetadata ? helm.digestSpec(changesIn(spec), call.signal) : { postRenderersDigest: "", commonMetadataDigest: "" },
    ]);
    const tracked = isTracked(contextOf(call).facts?.source ?? "", source) ? trackedVersion(facts.version, source.revision) : undefined;
    if (tracked && "wrong" in tracked) throw new Fault("ChartVersionMismatch", shown("HelmRelease", call.key), { detail: tracked.wrong });
    return {
      values, facts,
      composed: {
        chartName: facts.name, chartVersion: tracked?.version ?? facts.version, appVersion: facts.appVersion, configDigest: values.digest,
        ...digests,
      },
    };
  }

  async function outcomeOf(call: EffectCall, place: ReleasePlace, { written, entries, testHooks, absent, gone = [], resumed, log, hookLogs, fault }: Acted, confidential: readonly string[], act?: ActInput): Promise<ActOutcome> {
    return {
      written: await Promise.all(written.map((stored) => storage.described(call, stored, act))),
      ...(entries && { entries }), ...(testHooks && { testHooks }), ...(absent && { absent }), ...(gone.length > 0 && { gone: { place, objects: gone } }), ...(resumed && { resumed }),
      log: [...log, ...hookLogs].map((line) => withoutValues(line, confidential)).slice(-mostLines),
      ...(fault && { fault: redacted(fault, confidential) }),
    };
  }

  /** Where the release lies now; where it is to lie, while it lies nowhere. */
  function placeNow({ facts, history: [latest], storageNamespace }: ReleaseContext): ReleasePlace {
    if (latest && storageNamespace) return { name: latest.name, namespace: latest.namespace, storageNamespace };
    if (!facts) throw new TypeError("nothing is done for an object that was never seen");
    return facts.place;
  }

  async function makeRevision(call: EffectCall, spec: Spec, act: ActInput): Promise<ActOutcome> {
    const context = contextOf(call);
    const { facts } = context;
    if (!facts) throw new TypeError("nothing is done for an object that was never seen");
    if (act.action === "rollback") {
      const to = act.to ?? 0;
      return onRelease(call, spec, facts.place, act.intent, async (release) => {
        // Which of the stored values came out of Secrets nobody can tell: none is quoted.
        const confidential = leavesOf((await readRevision(release, to))?.document.config);
        const acted = await make(release, { action: "rollback", version: act.version, to }, makeOptions(spec, "rollback", facts)).catch((thrown: unknown) => { throw quiet(thrown, confidential); });
        return { ...(await outcomeOf(call, release.place, acted, confidential, act)), ...seenIn(release) };
      }, storage.ledgerFor(call));
    }
    const action = act.action === "install" ? "install" : "upgrade";
    return onRelease(call, spec, facts.place, act.intent, async (release) => {
      await listRevisions(release);
      const begun = await readRevision(release, act.version);
      // What was begun is seen through as it was begun, whatever became of its values since; the rest is decided on anew.
      const { document, crds, confidential } = begun?.revision.intent === act.intent
        ? { document: begun.document, crds: (await helm.loadChart(chartOf(call), call.signal)).crds, confidential: await confidentialIn(call, spec, begun.document) }
        : await render(release, call, spec, action);
      const files = crds.flatMap(({ objects }) => objects.map((object) => JSON.stringify(object)));
      const acted = await make(release, {
        action, version: act.version, composition: compositionIn(document), definitions: { files, policy: definitionPolicy(spec, action) },
        createNamespace: action === "install" && createsNamespace(spec),
      }, makeOptions(spec, action, facts)).catch((thrown: unknown) => { throw quiet(thrown, confidential); });
      return { ...(await outcomeOf(call, release.place, acted, confidential, act)), ...seenIn(release) };
    }, storage.ledgerFor(call));
  }

  const seenIn = (release: ReleaseCall): Pick<ActOutcome, "storage"> => {
    const seen = leftBy(release);
    return seen ? { storage: seen } : {};
  };

  type Rendering = { document: Stored["document"]; crds: ChartFacts["crds"]; confidential: readonly string[] };

  /** Of values that are others by now, or not there any more, nobody can tell which came out of Secrets: none is quoted. */
  async function confidentialIn(call: EffectCall, spec: Spec, { config }: Stored["document"]): Promise<readonly string[]> {
    const now = await composition(call, spec).catch(() => undefined);
    return now && now.composed.configDigest === contextOf(call).composed?.configDigest ? now.values.confidential : leavesOf(config);
  }

  async function render(release: ReleaseCall, call: EffectCall, spec: Spec, action: "install" | "upgrade"): Promise<Rendering> {
    const { composed, values, facts } = await composition(call, spec);
    if (composed.configDigest !== contextOf(call).composed?.configDigest) throw new Fault("InputsChanged", shown("HelmRelease", call.key));
    const { cluster: handle, place } = release;
    const deployed = action === "upgrade" && spec.upgrade?.preserveValues ? await deployedOf(release) : undefined;
    const { document } = await helm.render({
      tenant: call.key.namespace, chart: chartOf(call), chartVersion: composed.chartVersion, values,
      release: { name: place.name, namespace: place.namespace, revision: (call.input as ActInput).version, isUpgrade: action === "upgrade" },
      capabilities: await capabilitiesOf(handle), lookup: lookupIn(handle), skipSchemaValidation: spec[action]?.disableSchemaValidation,
      ...(deployed && { preserve: deployed.document as unknown as ReleaseDocument }),
      postRender: { ...changesIn(spec), origin: { name: call.key.name, namespace: call.key.namespace }, strategy: spec.postRenderStrategy },
    }, call.signal).catch((thrown: unknown) => { throw quiet(thrown, values.confidential); });
    return { document: document as unknown as Stored["document"], crds: facts.crds, confidential: values.confidential };
  }

  const deployedOf = async (release: ReleaseCall): Promise<Stored | undefined> => {
    const found = (await listRevisions(release)).find(({ status }) => status === "deployed");
    return found && readRevision(release, found.version);
  };

  async function act(call: EffectCall): Promise<ActOutcome> {
    const input = call.input as ActInput;
    const context = contextOf(call);
    const { facts } = context;
    const spec = await needSpec(call.key);
    if (!facts) throw new TypeError("nothing is done for an object that was never seen");
    switch (input.action) {
      case "install":
      case "upgrade":
      case "rollback":
        return makeRevision(call, spec, input);
      case "uninstall":
        return onRelease(call, spec, placeNow(context), input.intent, async (release) => outcomeOf(call, release.place, await uninstall(release, input.version, uninstallOptions(spec, facts)), [], input));
      case "test":
        return onRelease(call, spec, placeNow(context), input.intent, async (release) =>
          outcomeOf(call, release.place, await testRelease(release, input.version, { timeoutMs: facts.timeouts.test, filters: spec.test?.filters ?? [] }), [], input));
      case "unlock":
        return onRelease(call, spec, facts.place, input.intent, async (release) => outcomeOf(call, release.place, await unlock(release, input.version), [], input));
    }
  }

  async function inspect(call: EffectCall): Promise<Inspected> {
    const context = contextOf(call);
    const place = context.facts?.place ?? placeNow(context);
    const remembered = storage.remembered(call, place);
    if (remembered) return remembered;
    return onRelease(call, await needSpec(call.key), place, "", (release) => storage.inspect(call, release));
  }

  /** The manifest of the revision that is deployed: what the cluster is compared with. */
  async function onDeployed<T>(call: EffectCall, run: (release: ReleaseCall & { redact(text: string): string; ignore: NonNullable<Ignore> }, stored: Stored) => Promise<T>, nothing: T): Promise<T> {
    const context = contextOf(call);
    const [latest] = context.history;
    const spec = await needSpec(call.key);
    if (!latest) return nothing;
    return onRelease(call, spec, placeNow(context), "", async (release) => {
      const stored = await readRevision(release, latest.version);
      if (!stored) return nothing;
      // Values that came out of Secrets are in the stored ones, and nobody can tell which: none is quoted.
      const confidential = leavesOf(stored.document.config);
      return run({ ...release, ignore: spec.driftDetection?.ignore ?? [], redact: (text) => withoutValues(text, confidential) }, stored);
    });
  }

  /** What was applied on the client's side leaves no mark of its own on the fields. */
  function doubtful({ key, ...call }: EffectCall): Set<string> {
    const { inventory } = call.context as unknown as ReleaseContext;
    const unmarked = inventory.filter(({ uid, owned }) => uid !== "" && owned === "");
    return new Set([...cluster.drifted(key, inventory), ...unmarked].map(({ id }) => id));
  }

  const isThere = async (call: EffectCall, spec: Spec): Promise<string | undefined> => {
    const account = accountOf(call.key, spec.serviceAccountName, tenancy);
    if (!account || spec.kubeConfig || (isAccountName(account.name) && (await cluster.hasAccount(account)))) return undefined;
    return `skipping Helm release uninstallation: ServiceAccount/${account.namespace}/${account.name} not found`;
  };

  /** Looks once more for what was deleted since an owner crashed, wherever that was. */
  async function sweep(call: EffectCall, spec: Spec, wanted: ReadonlySet<string>, isOver = true): Promise<null> {
    const { suspects = [], facts } = contextOf(call);
    if (!facts) return null;
    for (const { place, objects } of suspects.length > 0 ? suspects : [{ place: facts.place, objects: [] }])
      await onRelease(call, spec, place, "", (release) => sweepLate(release, isOver ? facts.uid : undefined, objects, wanted));
    return null;
  }

  return {
    adopt: ({ key }) => hub.addFinalizer(key),

    async applyChart(call) {
      const spec = await needSpec(call.key);
      await checkExpressions(spec.healthCheckExprs ?? [], ports.cel);
      const { chart, chartSeen: seen } = contextOf(call);
      if (seen && isStanding(call.key, spec, { chart, seen }, await seenOf(contextOf(call).facts?.source ?? ""))) return { chart, seen };
      const before = chart || knownIn(await hub.need(call.key)).chart;
      if (!spec.chart && before === "") return { chart: "" };
      return cluster.within(call.key, {}, (handle, guard) => applyChart(call.key, spec, before, { cluster: handle, guard, signal: call.signal, tenancy, nowMs: ports.clock.nowMs() }));
    },

    checkDependencies: (call) => ports.dependencies(call),

    async findChart(call): Promise<ChartFound> {
      const context = contextOf(call);
      const live = await hub.need(call.key);
      const spec = specOf(live);
      const { chart: found, values, behind } = await offersTo(call.key, spec, parseActorId(context.facts?.source ?? ""), ports);
      const known = knownIn(live);
      const target = targetFor(call, spec);
      const { cluster: where, blind } = await cluster.reach(call.key, target, isWatched(context) ? (context.takenOver ? context.inventory : listed(live)) : [], storagePlace(context.facts?.place ?? placeNow(context)));
      const ociDigest = isTracked(context.facts?.source ?? "", found.artifact) ? digestIn(found.artifact.revision) : "";
      return { ...found, ...(values && { values }), ...(behind && { behind }), ociDigest, known, ...(where && { cluster: where }), ...(target.user && { user: target.user }), ...(blind && { blind }) };
    },

    async compose(call): Promise<Composed> {
      return (await composition(call, await needSpec(call.key))).composed;
    },

    inspect: (call) => inspect(call),

    act: (call) => act(call),

    /** What is known to differ, or cannot be known, costs requests, and nothing else does. */
    compare: async (call) => {
      const { all } = call.input as { all: boolean };
      const ids = all ? undefined : doubtful(call);
      if (ids?.size === 0) return { differences: [] };
      return onDeployed<DriftOutcome>(call, (release, stored) => findDrift(release, stored.document, ids), { differences: [] });
    },

    correct: (call) => onDeployed<CorrectOutcome>(call, async (release, stored) => {
      const ids = (call.input as { ids?: string[] } | null)?.ids; // a record of before knows none
      const { differences } = await findDrift(release, stored.document, ids && new Set(ids));
      const { changes, entries, fault } = await correctDrift(release, stored.document, new Map(differences.map(({ id, by = "" }) => [id, by])));
      if (fault?.code === "LeaseLost") throw new Fault("LeaseLost", fault.subject);
      const corrected = new Map(entries.map((entry) => [entry.id, entry]));
      const by = new Map(differences.map((each) => [each.id, each.by]));
      return {
        changes: changes.map((change) => ({ ...change, ...(by.get(change.id) && { by: by.get(change.id) as string }) })),
        entries: contextOf(call).inventory.map((entry) => corrected.get(entry.id) ?? entry), ...(fault && { fault }),
      };
    }, { changes: [] }),

    sweep: async (call) => sweep(call, await needSpec(call.key), new Set(contextOf(call).inventory.map(({ id }) => id))),

    async remove(call): Promise<ReleaseRemoved> {
      const context = contextOf(call);
      const live = await hub.leaving(call.key, context.facts?.uid ?? "");
      if (!live || context.facts?.suspended) return {};
      const spec = specOf(live);
      if (context.suspects && context.wary === undefined) await sweep(call, spec, new Set(), context.storageNamespace === "");
      const known = knownIn(live);
      // A store of ours that never looked knows nothing of what Flux has released.
      const lies: ReleaseContext = context.takenOver ? context : { ...context, history: known.history, storageNamespace: known.storageNamespace };
      const [latest] = lies.history;
      if (lies.storageNamespace === "" || (!latest && !lies.act)) return {};
      const skipped = await isThere(call, spec);
      if (skipped !== undefined) return { skipped };
      try {
        return await onRelease(call, spec, placeNow(lies), `${context.facts?.uid ?? ""}.end`, async (release) => {
          const [newest] = await listRevisions(release);
          // Before the first action was recorded only what was made for this object is ours.
          if (!latest && !newest?.intent?.startsWith(`${context.facts?.uid ?? ""}.`)) return { removed: { written: [], log: [], absent: true } };
          if (!newest) return { removed: { written: [], log: [], absent: true } };
          return { removed: await outcomeOf(call, release.place, await uninstall(release, newest.version, uninstallOptions(spec, context.facts as NonNullable<typeof context.facts>)), []) };
        });
      } catch (thrown) {
        if (thrown instanceof Fault && thrown.code === "KubeConfigMissing") return { skipped: `skipping Helm release uninstallation: ${thrown.detail ?? thrown.message}` };
        if (!(thrown instanceof Fault) || isPassing(thrown.code)) throw thrown;
        return { removed: { written: [], log: [], fault: thrown.toJSON() } };
      }
    },

    async release(call) {
      const context = contextOf(call);
      const live = await hub.leaving(call.key, context.facts?.uid ?? "");
      const chart = context.chart || (live ? knownIn(live).chart : "");
      if (live && chart !== "" && context.facts?.suspended !== true)
        await cluster.within(call.key, {}, (handle, guard) => deleteChart(call.key, chart, { cluster: handle, guard, signal: call.signal, tenancy, nowMs: ports.clock.nowMs() }));
      return hub.removeFinalizer(call.key);
    },
  };
}

/** What is done to the rendered objects, without what is undefined, at any depth. */
const changesIn = ({ postRenderers, commonMetadata }: Spec): Pick<PostRender, "renderers" | "commonMetadata"> =>
  JSON.parse(JSON.stringify({ renderers: postRenderers, commonMetadata })) as Pick<PostRender, "renderers" | "commonMetadata">;

const isWatched = ({ facts }: ReleaseContext): boolean => facts !== null && facts.drift !== "disabled";

type Ignore = NonNullable<Spec["driftDetection"]>["ignore"];

const mostLines = 10;

/** As `trackedVersion` remembers it, before the chart's own version is known. */
function digestIn(revision: string): string {
  const tracked = trackedVersion(revision.split("@")[0]?.replaceAll("_", "+") ?? "", revision);
  return "ociDigest" in tracked ? tracked.ociDigest : revision;
}

function compositionIn({ chart, config, manifest, hooks, info }: Stored["document"]): Composition {
  return { ...(chart && { chart }), ...(config && { config }), manifest, ...(hooks && { hooks }), ...(info.notes && { notes: info.notes }) };
}

function quiet(thrown: unknown, values: readonly string[]): unknown {
  if (!(thrown instanceof Fault) || values.length === 0) return thrown;
  const { code, subject, detail } = redacted(thrown.toJSON(), values);
  return new Fault(code, subject, { detail });
}

/** Every text among the values. */
const leavesOf = (value: unknown): string[] =>
  typeof value === "string" ? [value] : typeof value === "object" && value !== null ? Object.values(value).flatMap(leavesOf) : [];
