/** What a Git server says when somebody pushed, as GitHub, GitLab, Gitea and Bitbucket say it, or plainly. */
import { canonicalUrl } from "#protocol/trace/context.ts";
import { pushedArtifacts } from "./push-image.ts";

/** Which repository moved. A hint: the sources of these URLs are looked at, nothing in it is believed. */
export type Push = {
  /** Canonical, every address the server names for the repository. */
  urls: string[];
  /** `refs/heads/main`; absent when several moved. */
  ref?: string;
  commit?: string;
  traceparent?: string;
};

const mostUrls = 16;
const longestUrl = 2048;

/** Undefined when the body is no push: not JSON, or without a repository's address. */
export function parsePush(body: string, contentType: string): Push | undefined {
  const json = contentType.startsWith("application/x-www-form-urlencoded")
    ? new URLSearchParams(body).get("payload")
    : body;
  const payload = parsed(json ?? "");
  const urls = urlsOf(payload);
  if (urls.length === 0) return undefined;
  const moved = movesOf(payload);
  const [only] = moved;
  if (!only || moved.length > 1) return { urls };
  return { urls, ...(only.ref && { ref: only.ref }), ...(only.commit && { commit: only.commit }) };
}

/** An event that is not about a push (`ping`, an issue): nothing to do, and nothing wrong. */
export function isOtherEvent(headers: Headers): boolean {
  const github = headers.get("x-github-event") ?? headers.get("x-gitea-event") ?? headers.get("x-forgejo-event");
  if (github !== null) return !/^(push|create|delete|registry_package|package)$/.test(github);
  const gitlab = headers.get("x-gitlab-event");
  if (gitlab !== null) return !/push/i.test(gitlab);
  const bitbucket = headers.get("x-event-key");
  return bitbucket !== null && !/^(repo:push|repo:refs_changed)$/.test(bitbucket);
}

function urlsOf(payload: unknown): string[] {
  const named = [
    ...texts(payload, "url"),
    ...texts(payload, "urls"),
    ...["clone_url", "ssh_url", "html_url", "git_http_url", "git_ssh_url"].flatMap((name) =>
      texts(payload, "repository", name),
    ),
    ...["git_http_url", "git_ssh_url", "web_url"].flatMap((name) => texts(payload, "project", name)),
    ...texts(payload, "repository", "links", "html", "href"),
    ...list(at(payload, "repository", "links", "clone")).flatMap((link) => texts(link, "href")),
    ...pushedArtifacts((...path) => at(payload, ...path)),
  ];
  const urls = named
    .filter((url) => url.length <= longestUrl)
    .map(fromScp)
    .filter((url) => URL.canParse(url) && schemes.test(url));
  return [...new Set(urls.map(canonicalUrl))].slice(0, mostUrls);
}

const schemes = /^(https?|ssh|git|oci):\/\/[^/]/i;

/** `git@host:owner/name.git` as the URL a source would carry. */
const fromScp = (url: string): string => {
  const [, user, host, path] = /^([\w.-]+)@([\w.-]+):(?!\/\/)\/?(.+)$/.exec(url) ?? [];
  return host && path ? `ssh://${user}@${host}/${path}` : url;
};

type Move = { ref: string | undefined; commit: string | undefined };

function movesOf(payload: unknown): Move[] {
  const bitbucketCloud = list(at(payload, "push", "changes")).map((change) => ({
    ref: refOf(text(at(change, "new", "type")), text(at(change, "new", "name"))),
    commit: commitOf(text(at(change, "new", "target", "hash"))),
  }));
  const bitbucketServer = list(at(payload, "changes")).map((change) => ({
    ref: refOf(undefined, text(at(change, "ref", "id"))),
    commit: commitOf(text(at(change, "toHash"))),
  }));
  const rest = {
    ref: refOf(undefined, text(at(payload, "ref"))),
    commit: commitOf(text(at(payload, "after")) ?? text(at(payload, "commit"))),
  };
  const moves = [...bitbucketCloud, ...bitbucketServer];
  return moves.length > 0 ? moves : [rest];
}

function refOf(type: string | undefined, name: string | undefined): string | undefined {
  if (!name || name.length > 255 || !/^[^\s~^:?*[\\]+$/.test(name)) return undefined; // git-check-ref-format
  if (name.startsWith("refs/")) return name;
  return `refs/${type === "tag" ? "tags" : "heads"}/${name}`;
}

// Zeros stand for "deleted".
const commitOf = (hash: string | undefined) =>
  hash && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash) && !/^0+$/.test(hash) ? hash : undefined;

function at(value: unknown, ...path: string[]): unknown {
  for (const step of path)
    value =
      typeof value === "object" && value !== null && Object.hasOwn(value, step)
        ? (value as Record<string, unknown>)[step]
        : undefined;
  return value;
}

const texts = (value: unknown, ...path: string[]): string[] =>
  [at(value, ...path)].flat().filter((item) => typeof item === "string");
const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value.slice(0, 100) : []);

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined; // the caller answers 400
  }
}
