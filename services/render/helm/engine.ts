/** Charts, values and releases by Helm's own libraries, in threads. */
import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import type { MessagePort } from "node:worker_threads";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { Engine, type EngineOptions } from "../engine.ts";
import type { KubeObject } from "../objects.ts";
import { readReply } from "../reply.ts";
import { RestingPool } from "../resting-pool.ts";
import { LookupHost } from "./host.ts";
import { helmProgram } from "./program.ts";
import type { HelmCall } from "./thread.ts";
import type {
  ChartFacts, ChartHandle, ComposedValues, Helm, PackagedChart, PackageRequest, PostRender, ReleaseDigests, RenderedRelease,
  RenderRequest, StoredDocument, ValuesRequest,
} from "./types.ts";

export type HelmOptions = Omit<EngineOptions, "program"> & {
  threads?: number;
  /** For one call, from when a thread takes it up; the time of its lookups counts. */
  timeoutMs?: number;
  /** How long a render may run before other tenants get a thread beside it, and how long that one stays without work. */
  slowMs?: number;
  spareIdleMs?: number;
  /** When nothing was asked for so long, the engine leaves memory, some 75 MB; whoever asks next waits a second for it. */
  idleMs?: number;
  /** Of charts' archives, loaded in each thread. */
  loadedLimitBytes?: number;
};

type Asking = { subject: string; failed(code: string): FaultCode; tenant?: string; chart?: ChartHandle; lookup?: LookupHost | undefined };

/** Times are bounded for a template, not for a machine: a render takes some 10 ms. */
const defaults = { threads: 1, timeoutMs: 30_000, slowMs: 2_000, spareIdleMs: 60_000, idleMs: 10 * 60_000, loadedLimitBytes: 64 * 1024 * 1024 };
const defaultLimitBytes = 512 * 1024 * 1024;

export class HelmEngine implements Helm {
  private readonly pool: RestingPool;

  constructor({ memoryLimitBytes = defaultLimitBytes, wasm, ...options }: HelmOptions = {}) {
    const engine = new Engine({ memoryLimitBytes, program: helmProgram, ...(wasm && { wasm }) });
    this.pool = new RestingPool({ script: new URL("./thread.ts", import.meta.url), failed: "ReleaseRenderFailed", ...defaults, ...options, engine, title: "Helm" });
  }

  /** Starts the threads before the first call asks for them. */
  async warm(): Promise<void> {
    await this.pool.use((pool) => pool.warm());
  }

  async loadChart(chart: ChartHandle, signal: AbortSignal): Promise<ChartFacts> {
    return this.ask(JSON.stringify({ chart: { digest: chart.digest } }), { subject: "chart", failed: () => "ChartInvalid", chart }, signal);
  }

  async packageChart({ chart, dependencies = [], ...request }: PackageRequest, signal: AbortSignal): Promise<PackagedChart> {
    const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
    const source = chart instanceof Uint8Array ? { tgz: base64(chart) } : { files: Object.fromEntries(Array.from(chart, ([path, content]) => [path, base64(content)])) };
    const asked = JSON.stringify({ package: { ...source, ...request, dependencies: dependencies.map(base64) } });
    const failed = (code: string): FaultCode => (code === "version" ? "ChartVersionInvalid" : code === "values" ? "ValuesFilesInvalid" : "ChartPackageFailed");
    const { tgz, facts } = await this.ask<{ tgz: string; facts: ChartFacts }>(asked, { subject: "chart", failed }, signal);
    return { tgz: Buffer.from(tgz, "base64"), facts };
  }

  async composeValues({ sources, inline }: ValuesRequest, signal: AbortSignal): Promise<ComposedValues> {
    return this.ask(JSON.stringify({ values: { sources, inline: inline ?? null } }), { subject: "values", failed: () => "ValuesInvalid" }, signal);
  }

  async render({ tenant = "", chart, values, lookup, ...request }: RenderRequest, signal: AbortSignal): Promise<RenderedRelease> {
    const host = lookup && new LookupHost(lookup);
    const { name, namespace } = request.release;
    // The values' text as it is: parsed here, 1 and 1.0 would be one number.
    const asked = `{"render":{"values":${values.text},${JSON.stringify({ ...request, digest: chart.digest, lookup: host !== undefined }).slice(1)}}`;
    const failed = (code: string): FaultCode => (code === "chart" ? "ChartInvalid" : code === "schema" || code === "values" ? "ValuesRejected" : "ReleaseRenderFailed");
    try {
      return await this.ask<RenderedRelease>(asked, { subject: `release ${namespace}/${name}`, failed, tenant, chart, lookup: host }, signal);
    } finally {
      host?.close();
    }
  }

  async digest(document: StoredDocument, ociDigest: string, signal: AbortSignal): Promise<ReleaseDigests> {
    const subject = `release ${document.namespace}/${document.name}.v${document.version}`;
    const { chart, ...rest } = document;
    const observed = { ...rest, ...(chart && { chart: { metadata: chart.metadata ?? null } }) }; // of a chart's megabytes, nothing else counts
    return this.ask(JSON.stringify({ digest: { document: observed, ociDigest } }), { subject, failed: () => "ReleaseInvalid" }, signal);
  }

  async digestSpec({ renderers, commonMetadata }: Pick<PostRender, "renderers" | "commonMetadata">, signal: AbortSignal): Promise<{ postRenderersDigest: string; commonMetadataDigest: string }> {
    const asked = JSON.stringify({ specs: { postRenderers: renderers ?? null, commonMetadata: commonMetadata ?? null } });
    return this.ask(asked, { subject: "spec.postRenderers", failed: () => "ReleaseRenderFailed" }, signal);
  }

  async objects(manifest: string, order: "install" | "uninstall" | undefined, signal: AbortSignal): Promise<KubeObject[]> {
    const asked = JSON.stringify({ objects: { manifest, order: order ?? "" } });
    const { objects } = await this.ask<{ objects: KubeObject[] }>(asked, { subject: "manifest", failed: () => "ReleaseInvalid" }, signal);
    return objects;
  }

  /** The most memory any thread's module holds; 0 while there is none. */
  get memoryBytes(): number {
    return this.pool.memoryBytes;
  }

  /** Waits for nothing: what is being done is given up, and so is everything asked for later. */
  async close(): Promise<void> {
    await this.pool.close();
  }

  private async ask<Reply extends object>(request: string, { subject, failed, tenant = "", chart, lookup }: Asking, signal: AbortSignal): Promise<Reply> {
    signal.throwIfAborted();
    return this.pool.use(async (pool) => {
      let ahead = chart && !pool.has(chart.digest) ? await packed(chart) : undefined; // here, so that no thread waits for it
      const take = () => {
        const bytes = ahead;
        ahead = undefined; // it goes to the thread that takes it
        return bytes;
      };
      const call = (): [HelmCall, MessagePort[]] => {
        const line = lookup?.open();
        return line ? [{ request, line }, [line.port]] : [{ request }, []];
      };
      const needs = chart && { digest: chart.digest, pack: () => take() ?? packed(chart) };
      const reply = await pool.do({ subject, tenant, call, ...(needs && { needs }) }, signal);
      try {
        return readReply<Reply>(reply, subject, failed);
      } finally {
        reply.fill(0); // a secret value may be in it
      }
    });
  }
}

/** A chart as a thread takes it (wasm/main.go, `load`). @throws Fault ArtifactCorrupt; what its handle throws */
async function packed({ digest, load }: ChartHandle): Promise<Uint8Array<ArrayBuffer>> {
  const tgz = await load();
  const [algorithm, hex] = digest.split(":");
  if (algorithm !== "sha256" || hash("sha256", tgz) !== hex) throw new Fault("ArtifactCorrupt", digest, { detail: "the chart is not what its digest says" });
  const key = Buffer.from(digest);
  const bytes = new Uint8Array(4 + key.length + tgz.length);
  new DataView(bytes.buffer).setUint32(0, key.length, true);
  bytes.set(key, 4);
  bytes.set(tgz, 4 + key.length);
  return bytes;
}
