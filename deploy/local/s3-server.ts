/**
 * An S3-compatible storage on loopback: gofakes3 in a process, behind node:http, which verifies signatures, speaks TLS where
 * that is wanted, and keeps what was asked. Tests make it fail.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { signed } from "#services/clients/aws/signature.ts";
import { eventually } from "./eventually.ts";
import { startChild, whileAlive } from "./processes.ts";
import { tool } from "./tools.ts";

export type S3Request = { method: string; path: string; query: URLSearchParams; headers: IncomingMessage["headers"]; /** Name in the certificate it came with. */ client?: string };

/** How a request is spoilt: another answer, none at all, or only the first bytes of the right one. */
export type S3Trouble = { status: number; headers?: Record<string, string>; body?: string | Buffer } | "hang" | "endless" | { truncateAfterBytes: number };

export type S3Options = {
  /** Holds its log. */
  dir: string;
  bucket: string;
  /** When given, a request must be signed with one of these keys. */
  keys?: { id: string; secret: string; token: string }[];
  region?: string;
  /** Most keys in one page of a listing. */
  pageKeys?: number;
  tls?: ServerOptions;
};

export type LocalS3 = {
  /** `127.0.0.1:PORT` */
  host: string;
  put(key: string, body: string | Buffer): Promise<void>;
  remove(key: string): Promise<void>;
  /** Everything asked so far, oldest first. A test may empty it. */
  requests: S3Request[];
  /** Decides for each request whether it goes wrong; may do something else first. */
  spoil: ((request: S3Request) => S3Trouble | undefined | Promise<S3Trouble | undefined>) | undefined;
  stop(): Promise<void>;
};

export async function startS3({ dir, bucket, keys, region = "us-east-1", pageKeys = 1_000, tls }: S3Options): Promise<LocalS3> {
  const command = await tool("s3-server");
  const logFile = join(dir, `s3-server-${randomBytes(4).toString("hex")}.log`);
  const child = startChild({ name: "s3-server", command, args: ["-host", "127.0.0.1:0", "-backend", "memory", "-initialbucket", bucket], logFile });
  const port = await whileAlive([child], (signal) =>
    eventually("the storage's port", async () => Number(/using port: (\d+)/.exec(await readFile(logFile, "utf8"))?.[1]) || undefined, { signal }),
  );

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = "", text = ""] = (request.url ?? "").split("?", 2);
    const query = new URLSearchParams(text);
    const client = tls && ((request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined);
    const asked = { method: request.method ?? "GET", path, query, headers: request.headers, ...(client && { client }) };
    s3.requests.push(asked);
    const trouble = await s3.spoil?.(asked);
    if (trouble === "hang") return;
    if (trouble === "endless") return endless(response);
    if (trouble && "status" in trouble) return void response.writeHead(trouble.status, trouble.headers).end(trouble.body);
    if (keys && !isSigned(request, keys, region)) return void response.writeHead(403, { "content-type": "application/xml" }).end("<Error><Code>SignatureDoesNotMatch</Code></Error>");
    if (query.has("max-keys")) query.set("max-keys", String(Math.min(pageKeys, Number(query.get("max-keys")))));
    const { host: _, authorization: __, ...headers } = request.headers;
    const behind = forward({ host: "127.0.0.1", port, method: asked.method, path: query.size > 0 ? `${path}?${query}` : path, headers }, (found) => {
      response.writeHead(found.statusCode ?? 502, found.headers);
      const limit = trouble?.truncateAfterBytes;
      if (limit === undefined) return void found.pipe(response);
      let sent = 0;
      found.on("data", (chunk: Buffer) => {
        response.write(chunk.subarray(0, limit - sent));
        sent += Math.min(chunk.length, limit - sent);
        if (sent >= limit) setImmediate(() => response.destroy());
      });
    });
    behind.on("error", () => response.destroy());
    request.pipe(behind);
  }

  const listener = (request: IncomingMessage, response: ServerResponse) => void answer(request, response).catch(() => response.destroy());
  const front = tls ? createSecureServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve, reject) => front.once("error", reject).listen(0, "127.0.0.1", resolve));

  // Past the front: what a test prepares is not what it watches.
  const write = async (method: string, key: string, body?: Buffer) => {
    const path = key.split("/").map(encodeURIComponent).join("/");
    const response = await fetch(`http://127.0.0.1:${port}/${bucket}/${path}`, { method, ...(body && { body: new Uint8Array(body) }) });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${method} ${key}: HTTP ${response.status}`);
  };

  const s3: LocalS3 = {
    host: `127.0.0.1:${(front.address() as AddressInfo).port}`,
    put: (key, body) => write("PUT", key, Buffer.from(body)),
    remove: (key) => write("DELETE", key),
    requests: [],
    spoil: undefined,
    async stop() {
      front.closeAllConnections();
      await Promise.all([new Promise((closed) => front.close(closed)), child.stop()]);
    },
  };
  return s3;
}

/** Signs what came once more, as it came: the same signature must come out. */
function isSigned({ method = "GET", url = "", headers }: IncomingMessage, keys: NonNullable<S3Options["keys"]>, region: string): boolean {
  const [, id, names = ""] = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/[^,]+, SignedHeaders=([^,]+), /.exec(headers.authorization ?? "") ?? [];
  const key = keys.find((each) => each.id === id);
  const date = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(headers["x-amz-date"]));
  if (!key || !date || (headers["x-amz-security-token"] ?? "") !== key.token) return false;
  const atMs = Date.parse(`${date[1]}-${date[2]}-${date[3]}T${date[4]}:${date[5]}:${date[6]}Z`);
  const shown = Object.fromEntries(names.split(";").filter((name) => name !== "host" && name !== "x-amz-date" && name !== "x-amz-security-token").map((name) => [name, String(headers[name])]));
  const again = signed({ method, url: `http://${headers.host}${url}`, headers: shown, body: "", bodySha256: String(headers["x-amz-content-sha256"]) }, key, { service: "s3", region }, atMs);
  return again.headers["authorization"] === headers.authorization;
}

/** As fast as it is read. */
function endless(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, 0x20);
  response.writeHead(200, { "content-type": "application/xml" });
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on("drain", more);
  more();
}
