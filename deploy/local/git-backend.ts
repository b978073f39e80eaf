/** Runs git: its CGI program for one HTTP request, or any command in a repository. */
import { execFile, spawn } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";

/** Nothing of the person's own configuration or credentials takes part. */
export const gitEnvironment = {
  PATH: process.env["PATH"],
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_TERMINAL_PROMPT: "0",
  LC_ALL: "C",
};

const run = promisify(execFile);

export async function git(repository: string, ...args: string[]): Promise<string> {
  const { stdout } = await run("git", args, { cwd: repository, env: gitEnvironment, maxBuffer: 64 << 20 });
  return stdout.trimEnd();
}

/** One request as CGI (RFC 3875): the request in the environment, the answer as headers, an empty line, and a body. */
export function serveBackend(root: string, request: IncomingMessage, response: ServerResponse, user?: string): void {
  const [path = "", query = ""] = (request.url ?? "").split("?", 2);
  const header = (name: string) => String(request.headers[name] ?? "");
  const backend = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {
      ...gitEnvironment,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: "1",
      REQUEST_METHOD: request.method ?? "GET",
      PATH_INFO: decodeURIComponent(path),
      QUERY_STRING: query,
      CONTENT_TYPE: header("content-type"),
      CONTENT_LENGTH: header("content-length"),
      HTTP_CONTENT_ENCODING: header("content-encoding"),
      GIT_PROTOCOL: header("git-protocol"),
      REMOTE_ADDR: "127.0.0.1",
      REMOTE_USER: user ?? "anyone", // a name is what allows pushes
    },
  });
  backend.on("error", (error) => response.headersSent || response.writeHead(500).end(error.message));
  backend.stdin.on("error", () => undefined); // it may answer without reading all of the request
  request.pipe(backend.stdin);
  response.on("close", () => backend.kill());

  let head = Buffer.alloc(0);
  backend.stdout.on("data", (chunk: Buffer) => {
    if (response.headersSent) return void response.write(chunk);
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    const headers = head.toString("latin1", 0, end).split("\r\n").map(splitHeader);
    const status = headers.find(([name]) => name === "status")?.[1] ?? "200";
    response.writeHead(Number.parseInt(status, 10), Object.fromEntries(headers.filter(([name]) => name !== "status")));
    response.write(head.subarray(end + 4));
  });
  backend.stdout.on("end", () => (response.headersSent ? response.end() : response.writeHead(500).end()));
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
