/** What releases rely on in Helm's engine, whichever it is. */
import assert from "node:assert/strict";
import test from "node:test";
import { labels } from "#protocol/api/annotations.ts";
import type { ChartHandle, Helm, RenderRequest, StoredDocument } from "#services/render/helm/types.ts";

export type HelmCase = {
  helm: Pick<Helm, "loadChart" | "composeValues" | "render" | "digest">;
  /** Chart `shop` 1.2.3: a ConfigMap `map`, a Job `pre` as the hook of pre-install and pre-upgrade, a Job `check` as a test. */
  chart(): Promise<ChartHandle>;
};

const { signal } = new AbortController();
const origin = { name: "hr", namespace: "flux" };

export function helmCases({ helm, chart }: HelmCase): void {
  const rendered = async (revision: number, text = "{}") => {
    const request: RenderRequest = {
      chart: await chart(), values: { text }, release: { name: "r", namespace: "apps", revision, isUpgrade: revision > 1 }, postRender: { origin },
      capabilities: { kubeVersion: "v1.37.2", apiVersions: ["v1"] },
    };
    return helm.render(request, signal);
  };
  const stored = async (revision: number, info: object, text?: string) => ({ ...(await rendered(revision, text)).document, info }) as StoredDocument & { info: object };

  test("[HE30] a chart is what its release says of it", async () => {
    const facts = await helm.loadChart(await chart(), signal);
    const { document } = await rendered(1);
    assert.deepEqual([facts.name, facts.version], ["shop", "1.2.3"]);
    const { name, version } = document.chart?.metadata ?? {};
    assert.deepEqual([name, version], [facts.name, facts.version]);
  });

  test("[HE30] values that say the same have one digest, whatever their order, and it is that of the release", async () => {
    const [one, same, other] = await Promise.all([{ a: 1, b: { c: "x", d: true } }, { b: { d: true, c: "x" }, a: 1 }, { a: 2 }].map((inline) => helm.composeValues({ sources: [], inline }, signal)));
    assert.equal(one?.digest, same?.digest);
    assert.notEqual(one?.digest, other?.digest);
    assert.equal((await helm.digest(await stored(1, { status: "deployed" }, one?.text), "", signal)).configDigest, one?.digest);
  });

  test("[HE30] a release is rendered as it is to be stored: objects of its own, marked with their origin, and hooks apart", async () => {
    const { document, objects } = await rendered(3);
    assert.deepEqual([document.name, document.namespace, document.version, document.info?.status], ["r", "apps", 3, undefined]);
    assert.deepEqual(objects.map(({ kind, metadata }) => [kind, metadata.labels?.[labels.originName], metadata.labels?.[labels.originNamespace]]), [["ConfigMap", "hr", "flux"]]);
    assert.deepEqual((document.hooks ?? []).map(({ kind, events, last_run: { phase } }) => [kind, events, phase]).sort(), [["Job", ["pre-install", "pre-upgrade"], ""], ["Job", ["test"], ""]]);
    assert.ok(!document.manifest?.includes("kind: Job") && !document.manifest?.includes("\"Job\""));
    const again = (await rendered(3)).document;
    assert.deepEqual([again.manifest, again.hooks, again.config], [document.manifest, document.hooks, document.config]);
  });

  test("[HE30] the digest of a release is another for another status, number or origin, and not for a test that ran", async () => {
    const deployed = await stored(1, { status: "deployed" });
    const digestOf = async (document: StoredDocument, oci = "") => (await helm.digest(document, oci, signal)).digest;
    const digest = await digestOf(deployed);
    assert.equal(await digestOf(JSON.parse(JSON.stringify(deployed)) as StoredDocument), digest);
    for (const other of [{ ...deployed, info: { status: "failed" } }, { ...deployed, version: 2 }, await stored(1, { status: "deployed" }, "{\"a\":1}")])
      assert.notEqual(await digestOf(other), digest);
    assert.notEqual(await digestOf(deployed, "sha256:1"), digest);
    const hooks = (deployed as { hooks?: { events: string[]; last_run: object }[] }).hooks ?? [];
    const ran = (event: string) => ({ ...deployed, hooks: hooks.map((hook) => (hook.events.includes(event) ? { ...hook, last_run: { ...hook.last_run, phase: "Succeeded" } } : hook)) });
    assert.equal(await digestOf(ran("test")), digest);
    assert.notEqual(await digestOf(ran("pre-install")), digest);
  });
}
