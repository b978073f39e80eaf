/** Asks a Git server with isomorphic-git: for one reference, or for one commit without its history. */
import { addRemote, fetch, init, type HttpClient } from "isomorphic-git";
import { Fault } from "#protocol/errors/fault.ts";
import { explain, throwIfAborted } from "#services/clients/http/failure.ts";
import { gitClient } from "./git-client.ts";
import { forget, isKnown } from "./http-client.ts";
import { serverError } from "./answers.ts";
import { LimitExceeded, type Limits } from "./limits.ts";
import { listRefs, type Listing, type ServerRef } from "./list-refs.ts";
import { memoryFs } from "./memory-fs.ts";
import { Objects } from "./objects.ts";
import type { Remote } from "./transport.ts";

/** References are short lines; a repository with 500,000 of them still fits. */
const maxRefsBytes = 64 * 2 ** 20;

const gitdir = "/repository";

/** isomorphic-git refuses schemes it does not know, and our clients know where to go. */
const isomorphicUrl = "http://repository.invalid";

/** What the server has under a name, its full prefix given. @throws Fault RepositoryEmpty when it has nothing at all */
export async function lookUp(remote: Remote, prefix: string, signal: AbortSignal): Promise<ServerRef[]> {
  const { refs, any } = await list(remote, prefix, signal);
  if (any || (await list(remote, "", signal)).any) return refs;
  throw new Fault("RepositoryEmpty", remote.address.shown);
}

/** A server that was known is asked anew when it no longer answers as it did: it may have moved. */
export async function list(remote: Remote, prefix: string, signal: AbortSignal): Promise<Listing> {
  const ask = () => {
    const client = gitClient(remote, { signal, maxBytes: maxRefsBytes, remember: true });
    const listing = listRefs(client, String(remote.address.base), prefix).finally(() => client.close());
    return withSignal(signal, listing).catch((error: unknown) => {
      throwIfAborted(signal, remote.address.shown);
      throw gitFault(error, remote);
    });
  };
  const known = isKnown(remote);
  try {
    return await ask();
  } catch (error) {
    forget(remote);
    if (!known || !(error instanceof Fault) || error.code !== "UpstreamUnreachable") throw error;
    return ask();
  }
}

export type Wanted = { commit: string; ref: string; pinned: boolean; /** Looked for among so many of the reference's latest, and nowhere else. */ depth?: number };

/** A repository in memory that holds one commit, and the annotated tag by which it was asked for. */
export type Received = { repository: Objects; commit: string; tag?: TagObject };

export type TagObject = { oid: string; contents: Buffer };

/**
 * Receives one commit into memory. A branch or tag is asked for by its name, so it may have moved on meanwhile: the commit
 * that came is returned. A commit is asked for by its name too; where the server only gives what its references point at,
 * it is looked for in the branch's history.
 */
export async function fetchCommit(
  remote: Remote,
  { commit, ref, pinned, depth: within }: Wanted,
  signal: AbortSignal,
  limits: Limits,
): Promise<Received> {
  const attempt = async (remoteRef: string, depth?: number): Promise<Received> => {
    let repository: Objects | undefined;
    let head = "";
    const fs = memoryFs((path, contents) => {
      if (!path.endsWith(".pack")) return;
      repository ??= new Objects(contents, limits);
      throw new Error("the pack is taken over"); // or it would be indexed, slowly, and read by way of that index
    });
    const url = isomorphicUrl;
    const client = gitClient(remote, { signal, maxBytes: limits.packBytes });
    const http: HttpClient = {
      async request(question) {
        const body = Buffer.concat(await Array.fromAsync(question.body ?? []));
        head ||= /want ([0-9a-f]{40})/.exec(body.toString("latin1"))?.[1] ?? "";
        return client.request({ ...question, ...(question.body && { body: each(body) }) });
      },
    };
    await init({ fs, gitdir, bare: true });
    await addRemote({ fs, gitdir, remote: "origin", url });
    const what = {
      remote: "origin",
      ref: remoteRef,
      remoteRef,
      singleBranch: true,
      tags: false,
      ...(depth && { depth }),
    };
    const { fetchHead } = await fetch({ fs, http, gitdir, url, ...what }).catch((error: unknown) => {
      if (!repository) throw error;
      return { fetchHead: head };
    }).finally(() => client.close());
    if (!fetchHead) throw new Fault("RepositoryEmpty", remote.address.shown);
    if (!repository) throw new Fault("UpstreamUnreachable", remote.address.shown, { detail: "the server sent no pack" });
    if (!pinned) return { repository, ...peel(repository, fetchHead, remote) };
    if (!repository.has(commit)) throw new Fault("ReferenceMissing", remote.address.shown, { detail: `the history of ${ref} has no such commit` });
    return { repository, commit };
  };
  const tries = within ? [() => attempt(ref, within)] : pinned ? [() => attempt(commit, 1), () => attempt(ref)] : [() => attempt(ref, 1)];
  for (const [i, run] of tries.entries())
    try {
      return await run();
    } catch (error) {
      const fault = gitFault(error, remote);
      if (fault.code !== "ReferenceMissing" || i === tries.length - 1) throw fault;
    }
  throw new Fault("ReferenceMissing", remote.address.shown);
}

async function* each(body: Buffer): AsyncGenerator<Uint8Array> {
  yield body;
}

/** A tag may point at another one. Of several the first counts: it has the name that was asked for. */
const mostTags = 8;

function peel(repository: Objects, head: string, remote: Remote): { commit: string; tag?: TagObject } {
  let tag: TagObject | undefined;
  for (let oid = head, depth = 0; depth < mostTags; depth++) {
    const { kind, bytes: contents } = repository.read(oid);
    if (kind === "commit") return { commit: oid, ...(tag && { tag }) };
    if (kind !== "tag") break;
    tag ??= { oid, contents };
    const [, target] = /^object ([0-9a-f]{40})\n/.exec(contents.toString("latin1", 0, 64)) ?? [];
    if (!target) break;
    oid = target;
  }
  throw new Fault("ReferenceMissing", remote.address.shown, { detail: "the tag does not point at a commit" });
}

/** isomorphic-git's own errors by their names; their messages may quote the server, and are not repeated. */
const details: Record<string, string> = {
  EmptyServerResponseError: "the answer is empty",
  InternalError: "the pack is damaged",
  InvalidOidError: "the answer is not readable",
  ObjectTypeError: "the pack holds an object of another kind than its name says",
  ParseError: "the answer is not in Git's format",
  RemoteCapabilityError: "the server cannot give a commit without its history",
  SmartHttpError: "no Git server: the answer is of another kind",
  UnsafeFilepathError: "a directory of the commit has an unsafe entry",
};

export function gitFault(error: unknown, remote: Remote): Fault {
  if (error instanceof LimitExceeded)
    return new Fault("SourceTooLarge", remote.address.shown, { detail: error.message });
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const fault = (code: "UpstreamUnreachable" | "ReferenceMissing", detail: string) =>
    new Fault(code, remote.address.shown, { detail });
  if (code === "NotFoundError") return fault("ReferenceMissing", "the repository has no such reference");
  const detail = details[code];
  if (detail) return fault("UpstreamUnreachable", detail);
  // The server's last words within a pack come as an error of no kind of its own.
  if (error instanceof Error && Object.getPrototypeOf(error) === Error.prototype && code === "")
    return serverError(remote, error.message);
  return explain(error, remote.address.shown);
}

/** isomorphic-git knows no signal: what it waits for is left behind. */
function withSignal<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", stop));
}
