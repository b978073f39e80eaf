/**
 * Asks a Git server for references and packs over smart HTTP: protocol version 2 where the server speaks it, else
 * version 1 (git: Documentation/gitprotocol-http, gitprotocol-v2, gitprotocol-pack). It never sends what it has: every
 * fetch is of one commit without its history.
 */
import { LRUCache } from "lru-cache";
import { Fault } from "#protocol/errors/fault.ts";
import { explain } from "./failure.ts";
import { readAdvertisement, type Advertisement } from "./advertisement.ts";
import { delimiter, flush, line, readPackets, textOf, type Packet } from "./pkt-line.ts";
import { isObjectId } from "./reference.ts";
import { ask, type Remote } from "./transport.ts";

type Server = Advertisement & { base: URL };

/** References are short lines; a repository with 500,000 of them still fits. */
const maxRefsBytes = 64 * 2 ** 20;

// Where a server is and that it speaks version 2 is asked once: the next poll is a single request.
const servers = new LRUCache<string, Server>({ max: 10_000 });

/** What the reference points at; undefined when the repository has others. @throws Fault RepositoryEmpty when it has none */
export async function lookUp(remote: Remote, ref: string, signal: AbortSignal): Promise<string | undefined> {
  return withServer(remote, signal, async (server) => {
    const oid = server.version === 1 ? server.refs.get(ref) : (await listRefs(remote, server, ref, signal)).get(ref);
    if (oid) return oid;
    const empty = server.version === 1 ? server.refs.size === 0 : (await listRefs(remote, server, "", signal)).size === 0;
    if (empty) throw new Fault("RepositoryEmpty", remote.address.shown);
    return undefined;
  });
}

/**
 * Receives a pack with one commit, without its history. A server of version 1 only gives what its references point at:
 * when the branch has moved on, its new head is fetched instead, and for any other commit the branch's whole history.
 */
export async function fetchPack(
  remote: Remote,
  { commit, ref, pinned }: { commit: string; ref: string; pinned: boolean },
  signal: AbortSignal,
  maxBytes: number,
): Promise<{ commit: string; pack: Blocks }> {
  return withServer(remote, signal, async (server) => {
    const want = server.version === 1 ? wantOf(remote, server, { commit, ref, pinned }) : { oid: commit, shallow: true };
    const answer = await ask(remote, {
      method: "POST",
      url: under(server.base, "/git-upload-pack"),
      headers: headers(server.version),
      body: server.version === 1 ? requestOf1(server, want) : requestOf2(server, want),
      signal,
      maxBytes,
    });
    const pack = new Blocks();
    for await (const payload of packOf(remote, readPackets(answer.body), server.version)) pack.add(payload);
    return { commit: pinned ? commit : want.oid, pack };
  });
}

/** A server that was known is asked anew when it no longer answers as it did: it may have moved. */
async function withServer<T>(remote: Remote, signal: AbortSignal, run: (server: Server) => Promise<T>): Promise<T> {
  const { address, credentials } = remote;
  const name = `${credentials.identity} ${address.shown}`;
  const guarded = (server: Server) => run(server).catch((error: unknown) => { throw explain(error, address.shown); });
  const known = servers.get(name);
  if (known) {
    try {
      return await guarded(known);
    } catch (error) {
      servers.delete(name);
      if (signal.aborted || !(error instanceof Fault) || error.code !== "UpstreamUnreachable") throw error;
    }
  }
  const server = await discover(remote, signal).catch((error: unknown) => { throw explain(error, address.shown); });
  // Version 1 says everything in its first answer, which is therefore asked every time.
  if (server.version === 2) servers.set(name, server);
  return guarded(server);
}

async function discover(remote: Remote, signal: AbortSignal): Promise<Server> {
  const { shown } = remote.address;
  const path = "/info/refs";
  const url = under(remote.address.base, path);
  url.search = "?service=git-upload-pack";
  const answer = await ask(remote, { method: "GET", url, headers: { "git-protocol": "version=2" }, signal, maxBytes: maxRefsBytes });
  if (!answer.contentType.startsWith("application/x-git-upload-pack-advertisement"))
    throw new Fault("UpstreamUnreachable", shown, { detail: "no Git server: the answer is of another kind" });
  if (!answer.url.pathname.endsWith(path))
    throw new Fault("UpstreamUnreachable", shown, { detail: "the server redirects away from the repository" });
  const base = new URL(answer.url);
  base.search = base.hash = "";
  base.pathname = base.pathname.slice(0, -path.length);
  const advertisement = await readAdvertisement(lines(remote, readPackets(answer.body)));
  if (advertisement.objectFormat !== "sha1")
    throw new Fault("UnsupportedReference", shown, { detail: "repositories with SHA-256 object names are not supported yet" });
  return { ...advertisement, base };
}

/** @param prefix nothing: the first reference there is, to tell an empty repository from a missing branch */
async function listRefs(remote: Remote, server: Server, prefix: string, signal: AbortSignal): Promise<Map<string, string>> {
  const answer = await ask(remote, {
    method: "POST",
    url: under(server.base, "/git-upload-pack"),
    headers: headers(2),
    body: line("command=ls-refs") + delimiter + (prefix && line(`ref-prefix ${prefix}`)) + flush,
    signal,
    maxBytes: maxRefsBytes,
  });
  const refs = new Map<string, string>();
  for await (const packet of lines(remote, readPackets(answer.body))) {
    if (packet.kind !== "data") continue;
    const [oid = "", name = ""] = textOf(packet.payload).split(" ", 2);
    if (!isObjectId(oid)) throw new RangeError("the list of references is not readable");
    refs.set(name, oid);
    if (!prefix) break; // and with it the connection: the rest is not wanted
  }
  return refs;
}

type Want = { oid: string; shallow: boolean };

function wantOf(remote: Remote, server: Server, { commit, ref, pinned }: { commit: string; ref: string; pinned: boolean }): Want {
  const head = server.refs.get(ref);
  const offered = [...server.refs.values()].includes(commit) || server.capabilities.has("allow-reachable-sha1-in-want");
  if (offered || server.capabilities.has("allow-any-sha1-in-want")) return { oid: commit, shallow: true };
  if (!head) throw new Fault("ReferenceMissing", remote.address.shown, { detail: `the repository has no ${ref}` });
  return { oid: head, shallow: !pinned };
}

// Azure DevOps demands multi_ack; without "have" lines it changes nothing.
function requestOf1({ capabilities }: Server, { oid, shallow }: Want): string {
  if (!capabilities.has("side-band-64k")) throw new RangeError("the server lacks side-band-64k");
  const ours = ["multi_ack_detailed", "side-band-64k", "ofs-delta", "no-progress"].filter((name) => capabilities.has(name));
  const deepen = shallow && capabilities.has("shallow") ? line("deepen 1") : "";
  return line(`want ${oid} ${ours.join(" ")}`) + deepen + flush + line("done");
}

function requestOf2({ capabilities }: Server, { oid, shallow }: Want): string {
  const deepen = shallow && capabilities.get("fetch")?.split(" ").includes("shallow") ? line("deepen 1") : "";
  const args = line("no-progress") + line("ofs-delta") + line(`want ${oid}`) + deepen + line("done");
  return line("command=fetch") + delimiter + args + flush;
}

async function* packOf(remote: Remote, packets: AsyncIterable<Packet>, version: 1 | 2): AsyncGenerator<Buffer> {
  let started = version === 1; // its packets of data are known by their first byte alone
  for await (const packet of lines(remote, packets)) {
    if (packet.kind !== "data") continue;
    const { payload } = packet;
    if (!started) started = textOf(payload) === "packfile";
    else if (payload[0] === 1) yield payload.subarray(1);
    else if (payload[0] === 3) throw serverError(remote, textOf(payload.subarray(1)));
  }
}

/** Passes packets on, until the server says instead what went wrong. */
async function* lines(remote: Remote, packets: AsyncIterable<Packet>): AsyncGenerator<Packet> {
  for await (const packet of packets) {
    if (packet.kind === "data" && packet.payload.subarray(0, 4).equals(errorMark))
      throw serverError(remote, textOf(packet.payload.subarray(4)));
    yield packet;
  }
}

const errorMark = Buffer.from("ERR ");

function serverError({ address: { shown }, credentials }: Remote, text: string): Fault {
  const said = credentials.redact(text.replaceAll(/[^\x20-\x7e]+/g, " ").trim()).slice(0, 200);
  const code = /not our ref|unadvertised object/.test(said) ? "ReferenceMissing" : "UpstreamUnreachable";
  return new Fault(code, shown, { detail: `the server says: ${said}` });
}

const headers = (version: 1 | 2) => ({
  "content-type": "application/x-git-upload-pack-request",
  accept: "application/x-git-upload-pack-result",
  ...(version === 2 && { "git-protocol": "version=2" }),
});

function under(base: URL, path: string): URL {
  const url = new URL(base);
  url.pathname += path;
  return url;
}

/** Bytes as they arrive, copied into blocks that can be handed to another thread without copying again. */
export class Blocks {
  readonly #full: Uint8Array<ArrayBuffer>[] = [];
  #block = new Uint8Array(64 * 1024);
  #used = 0;

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#used === this.#block.length) {
        this.#full.push(this.#block);
        this.#block = new Uint8Array(Math.min(this.#block.length * 2, 4 * 2 ** 20));
        this.#used = 0;
      }
      const part = bytes.subarray(at, at + this.#block.length - this.#used);
      this.#block.set(part, this.#used);
      this.#used += part.length;
      at += part.length;
    }
  }

  get list(): Uint8Array<ArrayBuffer>[] {
    return [...this.#full, this.#block.subarray(0, this.#used)];
  }
}
