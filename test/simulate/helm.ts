/**
 * Helm's engine as small as it can be: a chart is a directory of a commit, its objects are ConfigMaps, its hooks Jobs.
 * test/contract/helm.test.ts holds it to what the real one does.
 */
import { hash } from "node:crypto";
import { labels } from "#protocol/api/annotations.ts";
import type { KubeObject } from "#machines/rules/inventory.ts";
import type { ChartFacts, Helm, ReleaseHook, RenderRequest } from "#services/render/helm/types.ts";

/**
 * What a chart is made of: by name of its object the text in it, with the value `v` in place of `{v}`. `hook_<events>_<name>`: a Job
 * in its place, which fails when the text begins with `sick`. `job_<name>`: one that is no hook, and is another for another text.
 */
export type SmallChart = { name: string; version: string; objects: Record<string, string> };

/** Tells how a simulated Job ends. */
export const endsAs = "simulate/ends";

const aJob = "job_";
const endOf = (text: string): string => (text.startsWith("sick") ? "Failed" : "Complete");
const jobName = (release: string, key: string, text: string): string => `${release}-${key.slice(aJob.length)}-${text}`;
const filled = (text: string, values: { v?: string }): string => text.replace("{v}", values.v ?? "");

/** By kind and name: the data of what a chart renders to, hooks apart. */
export const renderedObjects = (release: string, chart: Record<string, string>, values: object): Map<string, object | undefined> =>
  new Map(Object.entries(chart).filter(([key]) => !key.startsWith("hook_")).map(([key, text]) => {
    const value = filled(text, values);
    return key.startsWith(aJob) ? [`Job ${jobName(release, key, value)}`, undefined] : [`ConfigMap ${release}-${key}`, { value }];
  }));

/** @param read a chart out of its archive */
export function smallHelm(read: (archive: Uint8Array) => SmallChart): Pick<Helm, "loadChart" | "composeValues" | "render" | "digest" | "digestSpec"> {
  const factsOf = ({ name, version }: SmallChart): ChartFacts => ({
    name, version, appVersion: "", apiVersion: "v2", description: "", type: "application", kubeVersion: "", deprecated: false, annotations: {}, dependencies: [], charts: [], values: "{}",
    hasSchema: false, crds: [],
  });
  return {
    loadChart: async ({ load }) => factsOf(read(await load())),
    async composeValues({ sources, inline = {} }) {
      const all = sources.map(({ text, targetPath }) => (targetPath ? { [targetPath]: text } : (JSON.parse(text) as object)));
      const text = sorted(Object.assign({}, ...all, inline) as object);
      return { text, digest: digestOf(text), confidential: sources.flatMap(({ secret, text: value }) => (secret ? [value] : [])) };
    },
    async render(request) {
      const chart = read(await request.chart.load());
      const { release: { name, namespace, revision: version }, values: { text }, chartVersion = chart.version } = request;
      const [hooks, others] = [true, false].map((is) => Object.entries(chart.objects).filter(([key]) => key.startsWith("hook_") === is)) as [[string, string][], [string, string][]];
      const objects = others.map(([key, value]) => objectOf(chart, key, value, request));
      const document = {
        name, namespace, version, info: {}, config: JSON.parse(text) as Record<string, unknown>, chart: { metadata: { name: chart.name, version: chartVersion } },
        manifest: objects.map((object) => `---\n${JSON.stringify(object)}\n`).join(""), hooks: hooks.map(([key, value]) => hookOf(chart, key, value, request)),
      };
      return { document, objects, crds: [] };
    },
    async digest(document, ociDigest) {
      const { name, version, namespace, info, chart, config = {}, manifest, hooks } = document as { info?: object; config?: object; manifest?: string; hooks?: ReleaseHook[] } & typeof document;
      const observed = { name, version, namespace, info, chart: chart?.metadata, config, manifest, hooks: hooks?.filter(({ events }) => !events.includes("test")), ociDigest };
      return { digest: digestOf(sorted(observed)), configDigest: digestOf(sorted(config)) };
    },
    digestSpec: async ({ renderers, commonMetadata }) =>
      ({ postRenderersDigest: renderers ? digestOf(sorted(renderers)) : "", commonMetadataDigest: commonMetadata ? digestOf(sorted(commonMetadata)) : "" }),
  };
}

function objectOf({ name: chart }: SmallChart, name: string, text: string, { release, postRender, values }: RenderRequest): KubeObject {
  const value = filled(text, JSON.parse(values.text) as object);
  if (name.startsWith(aJob)) return { apiVersion: "batch/v1", kind: "Job", metadata: { name: jobName(release.name, name, value), labels: { chart, ...originOf(postRender) }, annotations: { [endsAs]: endOf(value) } } };
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `${release.name}-${name}`, labels: { chart, ...originOf(postRender) } }, data: { value } };
}

function hookOf({ name: chart }: SmallChart, key: string, value: string, { release, postRender }: RenderRequest): ReleaseHook {
  const [, events = "", ...rest] = key.split("_");
  const name = `${release.name}-${rest.join("-")}`;
  const job = { apiVersion: "batch/v1", kind: "Job", metadata: { name, labels: originOf(postRender), annotations: { "helm.sh/hook": events, [endsAs]: endOf(value) } } };
  return { name, kind: "Job", path: `${chart}/templates/${key}.yaml`, manifest: JSON.stringify(job), events: events.split(",") as ReleaseHook["events"], last_run: { phase: "" }, delete_policies: ["before-hook-creation", ...(value.endsWith("gone") ? ["hook-succeeded" as const] : [])] };
}

const originOf = (postRender: RenderRequest["postRender"]) => {
  const { name, namespace } = postRender?.origin ?? {};
  return { ...(name && { [labels.originName]: name }), ...(namespace && { [labels.originNamespace]: namespace }) };
};

const digestOf = (text: string): string => `sha256:${hash("sha256", text)}`;

const sorted = (value: object): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === "object" && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner));
