/**
 * An OCI registry on loopback: go-containerregistry's own in a process, behind node:http, which asks for credentials, speaks
 * TLS where that is wanted, and keeps what was asked. Tests make it fail, and push as `flux push artifact` does.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { eventually } from "./eventually.ts";
import { startChild, whileAlive } from "./processes.ts";
import { tool } from "./tools.ts";

export type RegistryRequest = { method: string; path: string; query: string; authorization?: string; /** Name in the certificate it came with. */ client?: string; /** `If-None-Match`. */ known?: string };

/** How a request is spoilt: another answer, none at all, or only the first bytes of the right one. */
export type RegistryTrouble = { status: number; headers?: Record<string, string>; body?: string | Buffer } | "hang" | "endless" | { truncateAfterBytes: number };

export type RegistryOptions = {
  /** Holds its log. */
  dir: string;
  /** When given, everything else is answered with 401: by basic authentication, or by tokens that basic authentication gets. */
  auth?: { username: string; password: string; by: "basic" | "token" };
  tls?: ServerOptions;
};

export type Layer = { mediaType: string; bytes: Buffer };
export type Pushed = { digest: string; manifest: object };

export type LocalRegistry = {
  /** `127.0.0.1:PORT` */
  host: string;
  /** `oci://127.0.0.1:PORT/<name>` */
  repoUrl(name: string): string;
  /** An artifact of these layers under a tag. */
  push(name: string, tag: string, layers: Layer[], more?: { annotations?: Record<string, string>; artifactType?: string; config?: Layer; subject?: object }): Promise<Pushed>;
  /** Any manifest under a tag, or under its digest. */
  pushManifest(name: string, tag: string | undefined, mediaType: string, manifest: object): Promise<string>;
  pushBlob(name: string, bytes: Buffer): Promise<string>;
  /** A tag, or a manifest by its digest. */
  remove(name: string, reference: string): Promise<void>;
  /** Everything asked so far, oldest first. A test may empty it. */
  requests: RegistryRequest[];
  /** Decides for each request whether it goes wrong. */
  spoil: ((request: RegistryRequest) => RegistryTrouble | undefined) | undefined;
  stop(): Promise<void>;
};

export const fluxConfig = "application/vnd.cncf.flux.config.v1+json";
export const fluxContent = "application/vnd.cncf.flux.content.v1.tar+gzip";
export const ociManifest = "application/vnd.oci.image.manifest.v1+json";

export async function startRegistry({ dir, auth, tls }: RegistryOptions): Promise<LocalRegistry> {
  const command = await tool("oci-registry");
  const logFile = join(dir, `oci-registry-${randomBytes(4).toString("hex")}.log`);
  const child = startChild({ name: "oci-registry", command, args: ["-port", "0"], logFile });
  const port = await whileAlive([child], (signal) =>
    eventually("the registry's port", async () => Number(/serving on port (\d+)/.exec(await readFile(logFile, "utf8"))?.[1]) || undefined, { signal }),
  );
  const tokens = new Set<string>();
  const basic = auth && `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2);
    const { authorization } = request.headers;
    const client = tls && ((request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined);
    const known = request.headers["if-none-match"];
    const asked = { method: request.method ?? "", path, query, ...(authorization && { authorization }), ...(client && { client }), ...(known && { known }) };
    registry.requests.push(asked);
    const trouble = registry.spoil?.(asked);
    if (trouble === "hang") return;
    if (trouble === "endless") return void endless(response);
    if (trouble && "status" in trouble) return void response.writeHead(trouble.status, trouble.headers).end(trouble.body);
    if (path === "/token") return void giveToken(authorization, response);
    const allowed = auth?.by === "token" ? tokens.has(authorization ?? "") : authorization === basic;
    if (auth && !allowed) {
      const scope = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(path)?.[1];
      const challenge = auth.by === "basic" ? 'Basic realm="registry"' : `Bearer realm="${base}/token",service="local",scope="repository:${scope}:pull"`;
      return void response.writeHead(401, { "www-authenticate": challenge }).end('{"errors":[{"code":"UNAUTHORIZED"}]}');
    }
    const { host: _, authorization: __, ...headers } = request.headers;
    const behind = forward({ host: "localhost", port, method: request.method, path: request.url, headers }, (found) => {
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

  function giveToken(authorization: string | undefined, response: ServerResponse): void {
    if (authorization !== basic) return void response.writeHead(401).end("{}");
    const token = randomBytes(12).toString("base64url");
    tokens.add(`Bearer ${token}`);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ token, expires_in: 300 }));
  }

  const front = tls ? createSecureServer(tls, answer) : createServer(answer);
  await new Promise<void>((resolve, reject) => front.once("error", reject).listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(front.address() as AddressInfo).port}`;
  const base = `${tls ? "https" : "http"}://${host}`;

  // Past the front: what a test prepares is not what it watches.
  const write = async (method: string, path: string, body: Buffer | undefined, type: string) => {
    const response = await fetch(`http://localhost:${port}${path}`, { method, headers: { "content-type": type }, ...(body && { body: new Uint8Array(body) }) });
    if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${await response.text()}`);
  };
  const pushBlob = async (name: string, bytes: Buffer) => {
    const digest = sha256(bytes);
    await write("POST", `/v2/${name}/blobs/uploads/?digest=${digest}`, bytes, "application/octet-stream");
    return digest;
  };
  const pushManifest = async (name: string, tag: string | undefined, mediaType: string, manifest: object) => {
    const bytes = Buffer.from(JSON.stringify(manifest));
    const digest = sha256(bytes);
    await write("PUT", `/v2/${name}/manifests/${tag ?? digest}`, bytes, mediaType);
    return digest;
  };

  const registry: LocalRegistry = {
    host,
    repoUrl: (name) => `oci://${host}/${name}`,
    pushBlob,
    pushManifest,
    async push(name, tag, layers, { annotations, artifactType, config = { mediaType: fluxConfig, bytes: Buffer.from("{}") }, subject } = {}) {
      const describe = async ({ mediaType, bytes }: Layer) => ({ mediaType, digest: await pushBlob(name, bytes), size: bytes.length });
      const described = [];
      for (const layer of layers) described.push(await describe(layer));
      const manifest = {
        schemaVersion: 2, mediaType: ociManifest, ...(artifactType && { artifactType }), config: await describe(config), layers: described,
        ...(subject && { subject }), ...(annotations && { annotations }),
      };
      return { digest: await pushManifest(name, tag, ociManifest, manifest), manifest };
    },
    remove: (name, reference) => write("DELETE", `/v2/${name}/manifests/${reference}`, undefined, "application/json"),
    requests: [],
    spoil: undefined,
    async stop() {
      front.closeAllConnections();
      await Promise.all([new Promise((closed) => front.close(closed)), child.stop()]);
    },
  };
  return registry;
}

export const sha256 = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** As fast as it is read. */
function endless(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, 0x20);
  response.writeHead(200, { "content-type": "application/json" });
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on("drain", more);
  more();
}
