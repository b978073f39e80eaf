/**
 * Bucket: objects of S3, Google Cloud Storage or Azure Blob Storage as a source. The chart is machines/source; these two
 * effects are its own. What a listing says of the objects is the revision, so an unchanged bucket costs no download.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import type { bucket as api } from "#protocol/api/bucket.ts";
import { Fault } from "#protocol/errors/fault.ts";
import type { Asking as CloudAsking, Identity } from "#services/clients/cloud/identity.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import type { Peer } from "#services/clients/http/connections.ts";
import { Coalesced, nameOf } from "#services/sources/coalesced.ts";
import { defineSource, type FetchedSource, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import { ignoreFile, ignoreRules, type Ignored } from "#services/sources/ignore.ts";
import { peerFrom } from "#services/clients/registry/credentials.ts";
import { Slots } from "#services/threads/slots.ts";
import type { Threads } from "#services/threads/threads.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { indexDigest, type ObjectStore, type StoredObject } from "./object-store.ts";
import { bucketThreads, type ArchiveJob, type Jobs } from "./thread.ts";

export type BucketSpec = z.output<typeof api.spec>;
export type BucketCall = SourceCall<BucketSpec>;

/** Who asks, where the cloud itself is to vouch for that. */
export type InCloud = {
  /** Undefined where there are no identities in clouds. */
  identity: Identity | undefined;
  asking: CloudAsking;
  /** Where the worker's operator says that services are. */
  env: Readonly<Record<string, string | undefined>>;
  nowMs(): number;
};

const downloadsAtATime = 12; // of one bucket
/** Buckets up to this size are fetched as they come; larger ones wait for their turn: they lie in memory meanwhile. */
const smallBytes = 4 * 2 ** 20;
const largeAtATime = 3;
/** Longer than what any caller takes for new; sources that are woken together ask within moments. */
const keptMs = 60_000;
const keptBytes = 64 * 2 ** 20;
/** Pages may be empty, and go on. */
const mostPages = 2_000;
/** Listings in one fetch, while the bucket is being written. */
const mostRounds = 4;
/** How much longer than listed an object may be: it changed meanwhile. */
const spareBytes = 2 ** 20;

export const createBucket = ({ limits = defaultLimits, threads = bucketThreads() }: { limits?: Limits; threads?: Threads<Jobs> } = {}): SourceKind<BucketSpec> => {
  const large = new Slots(largeAtATime);
  const polls = new Coalesced<{ revision: string }>({ keepMs: keptMs, maxSize: 10_000, sizeOf: () => 1 });
  const fetches = new Coalesced<FetchedSource>({ keepMs: keptMs, maxSize: keptBytes, sizeOf: ({ archive }) => archive.byteLength });

  async function fetchFrom(store: ObjectStore, call: BucketCall): Promise<FetchedSource> {
    const ignored = await rulesOf(store, call, limits);
    const first = await listed(store, ignored, call, limits);
    const fetching = () => fetched(store, first, () => listed(store, ignored, call, limits), call.signal, limits);
    const found = await (sizeOf(first) > smallBytes ? large.run(call.signal, fetching) : fetching());
    const revision = indexDigest(found);
    const hex = revision.slice(revision.indexOf(":") + 1);
    const times = found.map(({ changedAtMs }) => changedAtMs).filter((at) => !Number.isNaN(at));
    return {
      revision,
      archive: await threads.run("archive", jobOf(found, store.shown), call.signal),
      file: `${hex}.tar.gz`,
      subject: hex.slice(0, 12),
      told: `stored artifact with ${found.length} fetched files from '${call.spec.bucketName}' bucket`,
      observed: { observedIgnore: call.spec.ignore ?? null },
      committedAtMs: Math.min(Date.now(), times.reduce((latest, at) => Math.max(latest, at), 0) || Date.now()),
      change: { url: store.shown, commit: hex },
    };
  }

  return defineSource<BucketSpec>({
    kind: "Bucket",

    async resolve(call) {
      const { store, access } = await storeOf(call);
      const look = async (signal: AbortSignal) => {
        const within = { ...call, signal };
        return { revision: indexDigest(await listed(store, await rulesOf(store, within, limits), within, limits)) };
      };
      const ask = { signal: call.signal, maxAgeMs: call.maxAgeMs ?? 0 };
      return (await polls.ask(nameOf(access, wishOf(call)), ask, look).catch(orTimedOut(call, store.shown))).revision;
    },

    async fetch(call) {
      const { store, access } = await storeOf(call);
      const name = nameOf(access, wishOf(call), call.revision);
      const made = fetches.ask(name, { signal: call.signal, maxAgeMs: Infinity }, (signal) => fetchFrom(store, { ...call, signal }));
      return made.catch(orTimedOut(call, store.shown));
    },
  });
};

export const bucket = createBucket();

/** What of a bucket is wanted. */
const wishOf = ({ spec }: BucketCall) => [spec.prefix ?? "", spec.ignore ?? null];

/** @throws Fault TimedOut for the object's own timeout, else what was thrown */
const orTimedOut = ({ signal }: BucketCall, shown: string) => (error: unknown): never => {
  throwIfAborted(signal, shown);
  throw error;
};

/** Each provider's part is loaded when it is first asked for. `access`: the same for those who may have one another's answers. */
async function storeOf(asked: BucketCall): Promise<{ store: ObjectStore; access: unknown }> {
  const read = new Map<string, ReturnType<BucketCall["secret"]>>();
  const secret = (name: string) => {
    const found = read.get(name) ?? asked.secret(name);
    read.set(name, found);
    return found;
  };
  const call = { ...asked, secret };
  const { spec } = call;
  const { provider, bucketName } = spec;
  const insecure = spec.insecure === true;
  const url = endpointOf(spec);
  const shown = `${url.host}/${bucketName}`;
  const [held, cert, proxy] = await Promise.all([spec.secretRef, spec.certSecretRef, spec.proxySecretRef].map((reference) => reference && secret(reference.name)));
  const { trustsAnyone: _, ...trust } = peerFrom({ insecure, shown, cert, proxy });
  // Connections are shared by those alone who present the same.
  const peer: Peer = { ...trust, identity: digestOf([trust.identity, provider, Object.entries(held ?? {}).map(([key, value]) => [key, Buffer.from(value).toString("base64")])]) };
  const asking: CloudAsking = { shown, signal: call.signal, proxy: peer.proxy };
  const identity = call.identity?.(spec.serviceAccountName || undefined);
  const { env, nowMs } = identity?.cloud(asking) ?? { env: process.env, nowMs: () => Date.now() };
  const inCloud: InCloud = { identity, asking, env, nowMs };
  const store = await opened();
  // Everything by which one who asks may differ from another; credentials that are given for a while go by whom they are given to.
  const sts = spec.sts && [spec.sts, await Promise.all([spec.sts.secretRef, spec.sts.certSecretRef].map((reference) => reference && secret(reference.name)))];
  const own = held || provider === "generic" ? null : await identity?.fingerprint(asking);
  const access = [url.href, bucketName, spec.region ?? null, peer.identity, own ?? null, sts ?? null];
  return { store, access };

  async function opened(): Promise<ObjectStore> {
    if (provider === "gcp") return (await import("./gcs.ts")).gcsStore({ bucket: bucketName, secret: held, peer, shown, inCloud });
    if (provider === "azure") return (await import("./azure.ts")).azureStore({ bucket: bucketName, endpoint: url, secret: held, peer, shown, inCloud });
    const [{ s3Store }, { s3Credentials }] = await Promise.all([import("./s3.ts"), import("./s3-access.ts")]);
    const credentials = await s3Credentials(call, held, url, peer, inCloud);
    return s3Store({ bucket: bucketName, origin: url.origin, region: spec.region, credentials: () => credentials, peer, shown, nowMs });
  }
}

/** A host for S3 and Google, which spec.insecure asks in plain HTTP; a URL for Azure. @throws Fault EndpointInvalid */
function endpointOf({ endpoint, bucketName, insecure, provider }: BucketSpec): URL {
  const refused = (detail: string) => new Fault("EndpointInvalid", `Bucket ${bucketName.slice(0, 100)}`, { detail });
  if (bucketName === "" || /[/\\?#\s]|^\.+$/.test(bucketName)) throw refused("spec.bucketName is not the name of a bucket");
  const hasScheme = /^https?:\/\//.test(endpoint);
  if (provider !== "azure" && provider !== "gcp" && hasScheme) throw refused("spec.endpoint is a host, with its port where that is another than usual, and no URL");
  const text = hasScheme ? endpoint : `${insecure ? "http" : "https"}://${endpoint}`;
  if (!URL.canParse(text)) throw refused("spec.endpoint is no address");
  const url = new URL(text);
  if (url.username || url.password) throw refused("spec.endpoint holds credentials; put them into a Secret");
  if (provider !== "azure" && (url.pathname !== "/" || url.search)) throw refused("spec.endpoint has a path");
  if (url.protocol === "http:" && !insecure) throw refused("spec.endpoint is plain HTTP, which spec.insecure has to allow");
  return url;
}

/** The bucket's own `.sourceignore`, then spec.ignore; nothing is left out by default. Source: flux.md 2.0 */
async function rulesOf(store: ObjectStore, { spec, signal }: BucketCall, limits: Limits): Promise<Ignored> {
  const own = await store.read({ key: ignoreFile }, limits.ignoreFileBytes, signal);
  try {
    return ignoreRules(own ? [{ directory: [], text: own.bytes.toString() }] : [], spec.ignore, limits.patterns, []);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("IgnoreInvalid", store.shown, { detail: error.message });
  }
}

/** What is in the bucket now, without what is left out. @throws Fault SourceTooLarge, ObjectKeyInvalid */
async function listed(store: ObjectStore, ignored: Ignored, { spec, signal }: BucketCall, limits: Limits): Promise<StoredObject[]> {
  const tooLarge = (detail: string) => new Fault("SourceTooLarge", store.shown, { detail });
  const kept = new Map<string, StoredObject>();
  let [next, count] = [undefined as string | undefined, 0];
  for (let pages = 0; pages === 0 || next !== undefined; pages++) {
    if (pages === mostPages) throw tooLarge(`the listing has more than ${mostPages} pages`);
    const page = await store.list(spec.prefix ?? "", next, signal);
    count += page.objects.length;
    if (count > limits.listed) throw tooLarge(`more than ${limits.listed} objects`);
    for (const object of page.objects) {
      const { key } = object;
      if (key.endsWith("/") || key === ignoreFile || ignored(key.split("/"), false)) continue;
      checkKey(key, store.shown, limits);
      kept.set(key, object);
      if (kept.size > limits.objects) throw tooLarge(`more than ${limits.objects} objects`);
    }
    ({ next } = page);
  }
  const objects = [...kept.values()];
  if (sizeOf(objects) > limits.bytes) throw tooLarge(`the objects add up to more than ${limits.bytes} bytes`);
  checkPaths(objects, store.shown);
  return objects;
}

type Read = StoredObject & { bytes: Buffer };

/** The objects as they are in one listing: what changes while it is read is read again. */
async function fetched(store: ObjectStore, first: StoredObject[], relist: () => Promise<StoredObject[]>, signal: AbortSignal, limits: Limits): Promise<Read[]> {
  const have = new Map<string, { etag: string; bytes: Buffer }>();
  const ending = new AbortController(); // the first failure ends the others
  const within = AbortSignal.any([signal, ending.signal]);
  let objects = first;
  for (let round = 0; round < mostRounds; round++) {
    if (round > 0) objects = await relist();
    let [settled, held] = [true, 0];
    const downloads = new Slots(downloadsAtATime);
    const current = new Set(objects.map(({ key }) => key));
    for (const key of have.keys()) if (!current.has(key)) have.delete(key);
    await Promise.all(objects.map((object) => downloads.run(within, async () => {
      if (have.get(object.key)?.etag !== object.etag) {
        const got = await store.read(object, object.sizeBytes + spareBytes, within);
        if (!got || got.etag !== object.etag) settled = false;
        if (got) have.set(object.key, { etag: object.etag, bytes: got.bytes });
      }
      held += have.get(object.key)?.bytes.length ?? 0;
      if (held > limits.bytes) throw new Fault("SourceTooLarge", store.shown, { detail: `the objects add up to more than ${limits.bytes} bytes` });
    }))).catch((error: unknown) => {
      ending.abort(error);
      throw error;
    });
    if (settled) return objects.map((object) => ({ ...object, bytes: have.get(object.key)?.bytes ?? Buffer.alloc(0) }));
  }
  throw new Fault("UpstreamUnreachable", store.shown, { detail: "its objects change faster than they can be read" });
}

/** @throws Fault ObjectKeyInvalid for what is no path within an archive */
function checkKey(key: string, shown: string, { keyBytes }: Limits): void {
  const why =
    Buffer.byteLength(key) > keyBytes ? `is longer than ${keyBytes} bytes`
    : key.split("/").some((part) => part === ".." || part === ".") ? "has a part . or .."
    : /[\\\p{Cc}]|\p{Cs}/u.test(key) ? "has a backslash or a control character in it"
    : key.split("/").every((part) => part === "") ? "is empty"
    : undefined;
  if (why) throw new Fault("ObjectKeyInvalid", shown, { detail: `key ${JSON.stringify(key.slice(0, 200))} ${why}` });
}

/** No two keys may mean one file, and no file a directory too. @throws Fault ObjectKeyInvalid */
function checkPaths(objects: StoredObject[], shown: string): void {
  const files = new Set<string>();
  const refused = (key: string, why: string) => new Fault("ObjectKeyInvalid", shown, { detail: `key ${JSON.stringify(key.slice(0, 200))} ${why}` });
  for (const { key } of objects) {
    const path = cleaned(key);
    if (files.has(path)) throw refused(key, "means the same file as another");
    files.add(path);
  }
  for (const { key } of objects)
    for (const directory of directoriesOf(cleaned(key))) if (files.has(directory)) throw refused(key, "is below a key that is a file");
}

/** Slashes in front, and several in a row, mean nothing in a path. */
const cleaned = (key: string): string => key.split("/").filter((part) => part !== "").join("/");

const directoriesOf = (path: string): string[] => path.split("/").slice(0, -1).map((_, at, parts) => parts.slice(0, at + 1).join("/"));

/** In one piece, as it goes to the thread. */
function jobOf(found: Read[], shown: string): ArchiveJob {
  const bytes = new Uint8Array(found.reduce((size, each) => size + each.bytes.length, 0));
  let end = 0;
  const files = found.map(({ key, bytes: own }) => {
    const start = end;
    bytes.set(own, start);
    end += own.length;
    return { path: cleaned(key), start, end };
  });
  return { directories: [...new Set(files.flatMap(({ path }) => directoriesOf(path)))], files, bytes, shown };
}

const sizeOf = (objects: StoredObject[]): number => objects.reduce((size, { sizeBytes }) => size + (sizeBytes || 0), 0);

const digestOf = (parts: unknown): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex");
