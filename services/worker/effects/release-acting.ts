/** What makes a revision of a release, and what Helm does with one: its chart and values, install, upgrade, rollback, uninstall, test, unlock. */
import { trackedVersion } from "#machines/rules/chart-version.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { ActInput, ActOutcome, Composed } from "#protocol/messages/release.ts";
import type { Artifact } from "#protocol/messages/source.ts";
import type { ReleaseCall } from "#services/release/call.ts";
import { make, type Composition } from "#services/release/make.ts";
import { listRevisions, readRevision, type Stored } from "#services/release/storage.ts";
import { testRelease } from "#services/release/test-release.ts";
import { uninstall } from "#services/release/uninstall.ts";
import { unlock } from "#services/release/unlock.ts";
import type { ChartFacts, ChartHandle, ComposedValues, PostRender, ReleaseDocument } from "#services/render/helm/types.ts";
import { handleOf } from "#services/store/artifacts.ts";
import type { EffectCall } from "../host.ts";
import { shown, type Effects } from "./effects.ts";
import { redacted } from "./redaction.ts";
import { createsNamespace, definitionPolicy, makeOptions, uninstallOptions } from "./release-actions.ts";
import { capabilitiesOf, lookupIn } from "./release-cluster.ts";
import { contextOf, leavesOf, placeNow, type ReleaseScope, type Spec } from "./release-scope.ts";
import { filesFor, isTracked } from "./release-sources.ts";
import { leftBy } from "./release-storage.ts";
import { composedValues } from "./release-values.ts";

type Rendering = { document: Stored["document"]; crds: ChartFacts["crds"]; confidential: readonly string[] };

export function releaseActing(scope: ReleaseScope): Pick<Effects, "compose" | "act"> {
  const { ports, storage } = scope;
  const { hub, helm } = ports;

  function sourceOf(call: EffectCall): Artifact {
    const { source } = contextOf(call);
    if (!source) throw new Fault("ArtifactMissing", shown("HelmRelease", call.key));
    return source;
  }

  const chartOf = (call: EffectCall): ChartHandle => handleOf(ports.artifacts, sourceOf(call));

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

  async function makeRevision(call: EffectCall, spec: Spec, act: ActInput): Promise<ActOutcome> {
    const context = contextOf(call);
    const { facts } = context;
    if (!facts) throw new TypeError("nothing is done for an object that was never seen");
    if (act.action === "rollback") {
      const to = act.to ?? 0;
      return scope.onRelease(call, spec, facts.place, act.intent, async (release) => {
        // Which of the stored values came out of Secrets nobody can tell: none is quoted.
        const confidential = leavesOf((await readRevision(release, to))?.document.config);
        const acted = await make(release, { action: "rollback", version: act.version, to }, makeOptions(spec, "rollback", facts)).catch((thrown: unknown) => { throw quiet(thrown, confidential); });
        return { ...(await scope.outcomeOf(call, release.place, acted, confidential, act)), ...seenIn(release) };
      }, storage.ledgerFor(call));
    }
    const action = act.action === "install" ? "install" : "upgrade";
    return scope.onRelease(call, spec, facts.place, act.intent, async (release) => {
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
      return { ...(await scope.outcomeOf(call, release.place, acted, confidential, act)), ...seenIn(release) };
    }, storage.ledgerFor(call));
  }

  const seenIn = (release: ReleaseCall): Pick<ActOutcome, "storage"> => {
    const seen = leftBy(release);
    return seen ? { storage: seen } : {};
  };

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
    const spec = await scope.spec(call.key);
    if (!facts) throw new TypeError("nothing is done for an object that was never seen");
    switch (input.action) {
      case "install":
      case "upgrade":
      case "rollback":
        return makeRevision(call, spec, input);
      case "uninstall":
        return scope.onRelease(call, spec, placeNow(context), input.intent, async (release) => scope.outcomeOf(call, release.place, await uninstall(release, input.version, uninstallOptions(spec, facts)), [], input));
      case "test":
        return scope.onRelease(call, spec, placeNow(context), input.intent, async (release) =>
          scope.outcomeOf(call, release.place, await testRelease(release, input.version, { timeoutMs: facts.timeouts.test, filters: spec.test?.filters ?? [] }), [], input));
      case "unlock":
        return scope.onRelease(call, spec, facts.place, input.intent, async (release) => scope.outcomeOf(call, release.place, await unlock(release, input.version), [], input));
    }
  }

  return {
    compose: async (call): Promise<Composed> => (await composition(call, await scope.spec(call.key))).composed,
    act,
  };
}

/** What is done to the rendered objects, without what is undefined, at any depth. */
const changesIn = ({ postRenderers, commonMetadata }: Spec): Pick<PostRender, "renderers" | "commonMetadata"> =>
  JSON.parse(JSON.stringify({ renderers: postRenderers, commonMetadata })) as Pick<PostRender, "renderers" | "commonMetadata">;

function compositionIn({ chart, config, manifest, hooks, info }: Stored["document"]): Composition {
  return { ...(chart && { chart }), ...(config && { config }), manifest, ...(hooks && { hooks }), ...(info.notes && { notes: info.notes }) };
}

function quiet(thrown: unknown, values: readonly string[]): unknown {
  if (!(thrown instanceof Fault) || values.length === 0) return thrown;
  const { code, subject, detail } = redacted(thrown.toJSON(), values);
  return new Fault(code, subject, { detail });
}
