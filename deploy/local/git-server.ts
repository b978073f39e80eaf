/**
 * A Git smart-HTTP server on loopback: git's own `git http-backend` behind node:http. Tests read what was asked of it and
 * make it fail; nobody needs a work tree to add a commit.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { importCommit, type Commit } from "./git-commit.ts";
import { git, serveBackend } from "./git-backend.ts";

export type GitServerOptions = {
  /** The folder of the bare repositories. */
  dir: string;
  /** When given, everything else is answered with 401. */
  auth?: { username: string; password: string };
};

export type GitRequest = { method: string; path: string; query: string; authorization?: string; userAgent?: string };

/** How a request is spoilt: another answer, none at all, or only the first bytes of the right one. */
export type Trouble = { status: number; headers?: Record<string, string>; body?: string } | "hang" | { truncateAfterBytes: number };

export type GitServer = {
  /** `http://127.0.0.1:PORT`; a repository is at `<url>/<name>.git`. */
  url: string;
  repoUrl(name: string): string;
  /** The bare repository's folder. */
  path(name: string): string;
  createRepo(name: string): Promise<void>;
  /** Adds a commit to a branch (created when absent) and returns its sha. */
  commit(name: string, commit: Commit): Promise<string>;
  /** Runs git in the bare repository, for what `commit` cannot say: tags, branches, deletions. */
  git(name: string, ...args: string[]): Promise<string>;
  /** Everything asked so far, oldest first. A test may empty it. */
  requests: GitRequest[];
  /** Decides for each request whether it goes wrong. */
  spoil: ((request: GitRequest) => Trouble | undefined) | undefined;
  stop(): Promise<void>;
};

export async function startGitServer({ dir, auth }: GitServerOptions): Promise<GitServer> {
  await mkdir(dir, { recursive: true });
  const wanted = auth && `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;

  const http = createServer((request, response) => {
    const asked = describe(request);
    server.requests.push(asked);
    const trouble = server.spoil?.(asked);
    if (trouble === "hang") return;
    if (trouble && "status" in trouble) {
      response.writeHead(trouble.status, trouble.headers).end(trouble.body);
    } else if (wanted !== undefined && asked.authorization !== wanted) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end("authentication required\n");
    } else {
      serveBackend(dir, request, trouble ? cutAfter(response, trouble.truncateAfterBytes) : response, auth?.username);
    }
  });
  await new Promise<void>((resolve, reject) => http.once("error", reject).listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;

  const path = (name: string) => join(dir, `${name}.git`);
  let lastCommit: Promise<unknown> = Promise.resolve(); // one writer at a time: each starts from the branch's head
  const server: GitServer = {
    url,
    repoUrl: (name) => `${url}/${name}.git`,
    path,
    async createRepo(name) {
      await git(dir, "init", "--quiet", "--bare", "--initial-branch=main", path(name));
      // as the large hosts do, so that a commit can be fetched by its sha
      await git(path(name), "config", "uploadpack.allowAnySHA1InWant", "true");
    },
    commit(name, commit) {
      const done = lastCommit.then(() => importCommit(path(name), commit));
      lastCommit = done.catch(() => undefined);
      return done;
    },
    git: (name, ...args) => git(path(name), ...args),
    requests: [],
    spoil: undefined,
    async stop() {
      const closed = new Promise((resolve) => http.close(resolve));
      http.closeAllConnections();
      await closed;
    },
  };
  return server;
}

function describe({ method = "", url = "", headers }: IncomingMessage): GitRequest {
  const [path = "", query = ""] = url.split("?", 2);
  return {
    method,
    path,
    query,
    ...(headers.authorization === undefined ? {} : { authorization: headers.authorization }),
    ...(headers["user-agent"] === undefined ? {} : { userAgent: headers["user-agent"] }),
  };
}

/** Lets the first bytes of the body through, then breaks the connection. */
function cutAfter(response: ServerResponse, bytes: number): ServerResponse {
  let left = bytes;
  const write = response.write.bind(response);
  response.write = (chunk: Buffer) => {
    if (chunk.length <= left) {
      left -= chunk.length;
      return write(chunk);
    }
    write(chunk.subarray(0, left), () => response.destroy());
    left = 0;
    return true;
  };
  return response;
}
