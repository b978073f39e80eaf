/** Asks a Git server with isomorphic-git: for one reference, or for one commit without its history. */
import { addRemote, fetch, init, listServerRefs, readCommit } from "isomorphic-git";
import { Fault } from "#protocol/errors/fault.ts";
import { explain, throwIfAborted } from "./failure.ts";
import { forget, httpClient, isKnown, serverError } from "./http-client.ts";
import { inspectPack } from "./inspect-pack.ts";
import { LimitExceeded, type Limits } from "./limits.ts";
import { memoryFs } from "./memory-fs.ts";
import type { Remote } from "./transport.ts";

/** References are short lines; a repository with 500,000 of them still fits. */
const maxRefsBytes = 64 * 2 ** 20;

export const gitdir = "/repository";

/**
 * What the reference points at; undefined when the repository has others.
 *
 * @throws Fault RepositoryEmpty when it has none
 */
export async function lookUp(remote: Remote, ref: string, signal: AbortSignal): Promise<string | undefined> {
  const found = (await listRefs(remote, ref, signal)).find((other) => other.ref === ref);
  if (found) return found.oid;
  if ((await listRefs(remote, undefined, signal)).length === 0)
    throw new Fault("RepositoryEmpty", remote.address.shown);
  return undefined;
}

/** A server that was known is asked anew when it no longer answers as it did: it may have moved. */
async function listRefs(remote: Remote, prefix: string | undefined, signal: AbortSignal) {
  const ask = () => {
    const http = httpClient(remote, { signal, maxBytes: maxRefsBytes, remember: true });
    const listing = listServerRefs({
      http,
      url: String(remote.address.base),
      protocolVersion: 2,
      ...(prefix && { prefix }),
    });
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

export type Wanted = { commit: string; ref: string; pinned: boolean };

/**
 * Receives one commit into memory. A branch is asked for by its name, so it may have moved on meanwhile: the commit
 * that came is returned. A commit is asked for by its name too; where the server only gives what its references point at,
 * it is looked for in the branch's history.
 */
export async function fetchCommit(
  remote: Remote,
  { commit, ref, pinned }: Wanted,
  signal: AbortSignal,
  limits: Limits,
) {
  const attempt = async (remoteRef: string, depth?: number) => {
    let received = false;
    const fs = memoryFs((path, contents) => {
      if (!path.endsWith(".pack")) return;
      inspectPack(contents, limits);
      received = true;
    });
    const url = String(remote.address.base);
    const http = httpClient(remote, { signal, maxBytes: limits.packBytes });
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
    const { fetchHead } = await fetch({ fs, http, gitdir, url, ...what });
    if (!fetchHead) throw new Fault("RepositoryEmpty", remote.address.shown);
    if (!received) throw new Fault("UpstreamUnreachable", remote.address.shown, { detail: "the server sent no pack" });
    const oid = pinned ? commit : fetchHead;
    await readCommit({ fs, gitdir, oid }).catch(() => {
      throw new Fault("ReferenceMissing", remote.address.shown, { detail: `the history of ${ref} has no such commit` });
    });
    return { fs, commit: oid };
  };
  const tries = pinned ? [() => attempt(commit, 1), () => attempt(ref)] : [() => attempt(ref, 1)];
  for (const [i, run] of tries.entries())
    try {
      return await run();
    } catch (error) {
      const fault = gitFault(error, remote);
      if (fault.code !== "ReferenceMissing" || i === tries.length - 1) throw fault;
    }
  throw new Fault("ReferenceMissing", remote.address.shown);
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
