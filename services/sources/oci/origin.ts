/** What an artifact was made of, as its manifest says: the trace of the commit goes on in the artifact. */
import type { FetchedSource } from "#services/sources/define.ts";

type Pushed = { url: string; digest: string; tag?: string };

/** Of the artifact itself where it does not say. */
export function originOf(annotations: Record<string, string>, { url, digest, tag }: Pushed): { change: FetchedSource["change"]; subject: string; madeAtMs: number } {
  const source = annotations["org.opencontainers.image.source"] ?? "";
  const { branch, commit } = commitOf(annotations["org.opencontainers.image.revision"] ?? "");
  const created = Date.parse(annotations["org.opencontainers.image.created"] ?? "");
  const traceparent = annotations["traceparent"];
  const change =
    commit && URL.canParse(source)
      ? { url: source, commit, ...(branch && { branch }) }
      : { url, commit: digest.slice(digest.indexOf(":") + 1), ...(tag && { branch: tag }) };
  return {
    change: { ...change, ...(traceparent && { traceparent }) },
    subject: `${tag ?? digest.slice(0, 19)}`,
    madeAtMs: Number.isNaN(created) ? Date.now() : Math.min(created, Date.now()),
  };
}

/** `main@sha1:<40 hex>` as flux writes it, `main/<40 hex>` as it wrote it once, or the bare hash of other tools. */
function commitOf(revision: string): { branch?: string; commit?: string } {
  const at = Math.max(revision.lastIndexOf("@"), revision.lastIndexOf("/"));
  const branch = revision.slice(0, Math.max(at, 0));
  const commit = revision.slice(at + 1).replace(/^sha(1|256):/, "");
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(commit) ? { commit, ...(branch && { branch }) } : {};
}
