/** Where charts are found by name and version: an index on a web server, or the tags of a registry. */
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { parseDuration } from "#protocol/api/duration.ts";
import { Fault } from "#protocol/errors/fault.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { RegistryClient } from "#services/clients/registry/client.ts";
import type { Manifest } from "#services/clients/registry/manifest.ts";
import { parseRepository, type Repository } from "#services/clients/registry/names.ts";
import { loginFrom, peerFrom } from "#services/clients/registry/credentials.ts";
import type { Verification, Verifying } from "#services/clients/registry/verify/verify.ts";
import { Coalesced, nameOf } from "#services/sources/coalesced.ts";
import type { SourceCall } from "#services/sources/define.ts";
import type { Threads } from "#services/threads/threads.ts";
import { inSharedMemory } from "./helm-threads.ts";
import { chooseVersion, type ChartVersion } from "./index-file.ts";
import type { Limits } from "./limits.ts";
import { fetchChart, fetchIndex, serverOf, type RepositorySpec, type Secrets } from "./server.ts";
import type { Jobs } from "./thread.ts";

/** One chart of a repository. */
export type Charts = {
  /** Version that is meant by a version or range. @throws Fault ChartReferenceInvalid, ChartPullFailed and what the transport says */
  find(wanted: string, signal: AbortSignal): Promise<string>;
  /** Its package, verified as far as the repository says what it should be. @throws Fault as above, and DigestMismatch, ChartUnverified */
  pull(version: string, signal: AbortSignal): Promise<{ bytes: Buffer; verified: boolean }>;
};

/** An index as it is published: `read` gives it whole. */
export type IndexArtifact = { digest: string; read(): Promise<Uint8Array> };

export type ChartsOptions = {
  spec: RepositorySpec;
  /** Name of the chart. */
  name: string;
  /** What a HelmRepository has published; absent: the server is asked. */
  index?: IndexArtifact | undefined;
  /** Signatures to demand, and what it takes to judge them. */
  verify?: { wanted: Verification; given: Omit<Verifying, "signal"> } | undefined;
  secret: Secrets;
  /** Of the worker, or of the ServiceAccount that the operator has set for all, in a cloud. */
  identity?: SourceCall<unknown>["identity"];
  threads: Threads<Jobs>;
  limits: Limits;
};

/** As Helm's registry client knows it, the name before Helm 3.7 too. */
const chartLayers = ["application/vnd.cncf.helm.chart.content.v1.tar+gzip", "application/tar+gzip"];

/** As Flux has it: parts with a slash, a period, or both after them. */
export const isChartName = (name: string): boolean => name.length <= 1024 && /^[-a-z0-9]+(?:(?:\/\.?|\.)[-a-z0-9]+)*(?:\/\.?|\.)?$/.test(name);

export async function chartsOf(options: ChartsOptions): Promise<Charts> {
  return options.spec.type === "oci" || options.spec.url.startsWith("oci://") ? chartsOfRegistry(options) : chartsOfIndex(options);
}

/** A call under the repository's own timeout. */
const timeLimited = (signal: AbortSignal, { timeout = "60s" }: RepositorySpec): AbortSignal =>
  AbortSignal.any([signal, AbortSignal.timeout(parseDuration(timeout))]);

/** A chart's versions by the digest of the index: one look through it will do for all. */
const versionsKnown = new LRUCache<string, ChartVersion[]>({ maxSize: 64 * 2 ** 20, sizeCalculation: (found) => 200 + found.length * 400 });

async function chartsOfIndex({ spec, name, index, verify, secret, threads, limits }: ChartsOptions): Promise<Charts> {
  const server = await serverOf(spec, secret);
  const { shown } = server;
  // Only registries keep signatures of charts.
  if (verify) throw new Fault("ChartUnverified", `${shown}/${name}`, { detail: "signatures are verified of charts in registries alone: spec.type oci" });
  let asked: Promise<IndexArtifact> | undefined;

  const ask = async (signal: AbortSignal): Promise<IndexArtifact> => {
    const { bytes = Buffer.alloc(0) } = await fetchIndex(server, { maxBytes: limits.indexBytes, signal });
    const made = await threads.run("index", { bytes: await inSharedMemory(bytes), shown }, signal);
    return { digest: hexOf(made), read: async () => made };
  };

  const versions = async (signal: AbortSignal): Promise<ChartVersion[]> => {
    const { digest, read } = index ?? (await (asked ??= ask(timeLimited(signal, spec))));
    const known = versionsKnown.get(`${digest} ${name}`);
    if (known) return known;
    const found = await threads.run("versions", { index: await inSharedMemory(await read()), digest, name, shown }, signal);
    versionsKnown.set(`${digest} ${name}`, found);
    return found;
  };

  return {
    async find(wanted, signal) {
      const found = await versions(signal);
      return choosing(shown, name, () => chooseVersion(found, wanted).version);
    },

    async pull(version, signal) {
      const found = (await versions(signal)).find((each) => each.version === version);
      const subject = `${shown}/${name}`;
      if (!found) throw new Fault("ChartReferenceInvalid", subject, { detail: `version ${version} is not there any more` });
      const [url] = found.urls;
      if (url === undefined) throw new Fault("ChartPullFailed", subject, { detail: `the index names no URL of version ${version}` });
      const wanted = found.digest.replace(/^sha256:/, "").toLowerCase();
      const isSaid = /^[0-9a-f]{64}$/.test(wanted);
      const fetching = async (until: AbortSignal) => {
        const bytes = await fetchChart(server, url, { maxBytes: limits.chartBytes, signal: until });
        if (isSaid && hexOf(bytes) !== wanted) throw new Fault("DigestMismatch", subject, { detail: `version ${version} is not what the index says it to be` });
        return bytes;
      };
      const limited = timeLimited(signal, spec);
      // Without a digest another package may come under the same name.
      const bytes = await (isSaid ? once([server.peer.identity, server.base.href, server.passCredentials, url, wanted], limited, subject, fetching) : fetching(limited));
      return { bytes, verified: false };
    },
  };
}

async function chartsOfRegistry({ spec, name, verify, secret, identity: cloud, limits }: ChartsOptions): Promise<Charts> {
  const repository = repositoryOf(spec, name);
  const { shown } = repository;
  const { registry, identity } = await registryOf(spec, repository, secret, cloud);

  return {
    async find(wanted, signal) {
      // A version that is written is not looked for among the tags.
      if (isExact(wanted)) return wanted;
      const tags = await registry.tags(timeLimited(signal, spec));
      const found = tags.map((tag) => ({ version: tag.replaceAll("_", "+") }));
      return choosing(shown, name, () => chooseVersion(found, wanted).version);
    },

    async pull(version, given) {
      const signal = timeLimited(given, spec);
      const digest = await registry.digestOf(version.replaceAll("+", "_"), signal);
      const verdict = verify && (await checkSignature(registry, digest, verify, signal));
      const { manifest } = await registry.image(digest, signal);
      const layer = layerOf(manifest);
      if (!layer) throw new Fault("LayerInvalid", shown, { detail: `version ${version} has no layer of a chart` });
      const bytes = await once([identity, shown, layer.digest], signal, shown, (until) => registry.blob(layer, limits.chartBytes, until));
      return { bytes, verified: verdict === "verified" };
    },
  };
}

const hexOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Many objects want one chart at about the same time: it comes once for all who are the same to its server. */
const pulls = new Coalesced<Buffer>({ keepMs: 60_000, maxSize: 64 * 2 ** 20, sizeOf: ({ length }) => length });

async function once(parts: unknown[], signal: AbortSignal, shown: string, work: (until: AbortSignal) => Promise<Buffer>): Promise<Buffer> {
  return pulls.ask(nameOf(...parts), { signal, maxAgeMs: 60_000 }, work).catch((error: unknown) => {
    throwIfAborted(signal, shown);
    throw error;
  });
}

const isExact = (wanted: string): boolean => /^v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]*)?$/.test(wanted);

const layerOf = ({ layers }: Manifest) => chartLayers.map((type) => layers.find(({ mediaType }) => mediaType === type)).find(Boolean);

function choosing<T>(shown: string, name: string, choose: () => T): T {
  try {
    return choose();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("ChartReferenceInvalid", `${shown}/${name}`, { detail: error.message, cause: error });
  }
}

/** @throws Fault ChartRepositoryInvalid */
function repositoryOf({ url }: RepositorySpec, name: string): Repository {
  try {
    if (!url.startsWith("oci://")) throw new RangeError("type oci goes with oci:// alone");
    return parseRepository(`${url.slice("oci://".length).replace(/\/+$/, "")}/${name}`);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("ChartRepositoryInvalid", "spec.url", { detail: error.message, cause: error });
  }
}

async function registryOf(spec: RepositorySpec, repository: Repository, secret: Secrets, cloud: ChartsOptions["identity"]): Promise<{ registry: RegistryClient; identity: string }> {
  const { shown } = repository;
  const insecure = spec.insecure === true;
  const data = spec.secretRef && (await secret(spec.secretRef.name));
  const { provider = "generic" } = spec;
  // As in Flux: a Secret goes before the provider.
  const inCloud = provider !== "generic" && !data ? cloud?.(undefined) : undefined;
  const login = inCloud && provider !== "generic"
    ? await (await import("#services/clients/registry/cloud-login.ts")).cloudLogin(provider, repository, inCloud, { shown, signal: timeLimited(AbortSignal.timeout(60_000), spec) })
    : data && loginOf(data, repository);
  const cert = spec.certSecretRef && (await secret(spec.certSecretRef.name));
  const peer = peerFrom({ cert, login, insecure, shown });
  return { registry: new RegistryClient({ repository, peer, login, insecure }), identity: peer.identity };
}

/** A pull secret, or simply user and password. */
function loginOf(data: Record<string, Uint8Array>, repository: Repository) {
  const text = (key: string) => Buffer.from(data[key] ?? []).toString();
  if (".dockerconfigjson" in data || ".dockercfg" in data) return loginFrom([data], repository);
  const [username, password] = [text("username"), text("password")];
  if ((username === "") !== (password === ""))
    throw new Fault("AuthenticationFailed", repository.shown, { detail: "the Secret of spec.secretRef holds only one of username and password" });
  return username ? { username, password } : undefined;
}

async function checkSignature(registry: RegistryClient, digest: string, { wanted, given }: NonNullable<ChartsOptions["verify"]>, signal: AbortSignal) {
  const { verify } = await import("#services/clients/registry/verify/verify.ts");
  return verify(registry, digest, wanted, { ...given, signal }).catch((error: unknown) => {
    if (error instanceof Fault && error.code === "VerificationFailed") throw new Fault("ChartUnverified", error.subject, { detail: error.detail, cause: error });
    throw error;
  });
}
