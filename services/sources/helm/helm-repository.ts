/** HelmRepository: the index of a Helm repository as a source. The chart is machines/source; these two effects are its own. */
import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import type { Downloaded } from "#services/clients/http/download.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { Coalesced } from "#services/sources/coalesced.ts";
import { defineSource, type SourceCall, type SourceKind } from "#services/sources/define.ts";
import type { Threads } from "#services/threads/threads.ts";
import { helmThreads, inSharedMemory } from "./helm-threads.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { fetchIndex, serverOf, type RepositorySpec, type Server } from "./server.ts";
import type { Jobs } from "./thread.ts";

type Known = Downloaded & { digest: string };

/** What was looked at is fetched a moment later, by this object or another of the same server. */
const keptMs = 60_000;
const keptBytes = 100 * 2 ** 20;
const pieceBytes = 4 * 2 ** 20;

export const createHelmRepository = ({ limits = defaultLimits, threads = helmThreads }: { limits?: Limits; threads?: Threads<Jobs> } = {}): SourceKind<RepositorySpec> => {
  /** By where the server is and who we are there, so that nobody gets what they could not have asked for themselves. */
  const known = new LRUCache<string, Known>({ max: 10_000 });
  const kept = new LRUCache<string, Buffer>({ maxSize: keptBytes, ttl: keptMs, sizeCalculation: ({ length }) => length + 1 });
  const made = new Coalesced<{ archive: Uint8Array }>({ keepMs: keptMs, maxSize: keptBytes, sizeOf: ({ archive }) => archive.byteLength });
  const polls = new Coalesced<{ digest: string }>({ keepMs: keptMs, maxSize: 10_000, sizeOf: () => 1 });

  const look = async (server: Server, name: string, isWhole: boolean, signal: AbortSignal): Promise<{ digest: string }> => {
    const last = isWhole ? undefined : known.get(name);
    const { bytes, ...marks } = await fetchIndex(server, { maxBytes: limits.indexBytes, signal, known: last });
    if (!bytes) return { digest: last?.digest ?? "" };
    const digest = `sha256:${await hexOf(bytes)}`;
    known.set(name, { digest, ...marks });
    kept.set(`${name} ${digest}`, bytes);
    return { digest };
  };

  const serverFor = async ({ spec, secret }: SourceCall<RepositorySpec>) => {
    const server = await serverOf(spec, secret);
    return { server, name: `${server.peer.identity} ${server.base.href}` };
  };

  return defineSource<RepositorySpec>({
    kind: "HelmRepository",

    /** The digest of the index as the server sends it; a server that knows what it sent last says only that. */
    async resolve(call) {
      const { server, name } = await serverFor(call);
      const ask = { signal: call.signal, maxAgeMs: call.maxAgeMs ?? 0 };
      const looked = polls.ask(name, ask, (signal) => look(server, name, false, signal));
      return (await looked.catch(orTimedOut(call.signal, server.shown))).digest;
    },

    async fetch({ signal, revision, ...call }) {
      const { server, name } = await serverFor({ ...call, signal });
      let digest = revision;
      if (!kept.has(`${name} ${digest}`)) ({ digest } = await look(server, name, true, signal));
      const bytes = kept.get(`${name} ${digest}`);
      if (!bytes) throw new Fault("UpstreamUnreachable", server.shown, { detail: "the server sent no index" });
      const make = async (shared: AbortSignal) => ({ archive: await threads.run("index", { bytes: await inSharedMemory(bytes), shown: server.shown }, shared) });
      const { archive } = await made.ask(`${name} ${digest}`, { signal, maxAgeMs: Infinity }, make).catch(orTimedOut(signal, server.shown));
      return {
        revision: digest,
        archive,
        file: `index-${digest.slice(digest.indexOf(":") + 1)}.yaml`,
        subject: "index",
        told: `stored fetched index of size ${humanSize(archive.byteLength)} from '${server.shown}'`,
        committedAtMs: Date.now(),
        change: { url: server.shown, commit: digest.slice(digest.indexOf(":") + 1) },
      };
    },
  });
};

export const helmRepository = createHelmRepository();

/** @throws Fault TimedOut for the object's own timeout, else what was thrown */
const orTimedOut = (signal: AbortSignal, shown: string) => (error: unknown): never => {
  throwIfAborted(signal, shown);
  throw error;
};

/** In pieces: one of 50 MiB at once would hold everybody up. */
async function hexOf(bytes: Buffer): Promise<string> {
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    hash.update(bytes.subarray(at, at + pieceBytes));
    if (bytes.length > pieceBytes) await nextTurn();
  }
  return hash.digest("hex");
}

/** Four digits at most, in thousands, as Flux tells sizes (docker/go-units HumanSize). */
function humanSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let [size, unit] = [bytes, 0];
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1000;
  return `${Number(size.toPrecision(4))}${units[unit]}`;
}

