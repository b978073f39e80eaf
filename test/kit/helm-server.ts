/** A static Helm repository over HTTP or HTTPS, whose packages are made on the spot. Tests make it fail, and see what was asked. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

export type ChartFile = { path: string; contents: string | Buffer };

/** A package as `helm package` makes it: Chart.yaml, values.yaml and whatever else, below a directory of its name. */
export async function chartPackage(name: string, version: string, files: Record<string, string> = {}): Promise<Buffer> {
  const all = chartFiles(name, version, files);
  return tarball(Object.entries(all).map(([path, contents]) => ({ path: `${name}/${path}`, contents })));
}

export const chartFiles = (name: string, version: string, files: Record<string, string> = {}): Record<string, string> => ({
  "Chart.yaml": `apiVersion: v2\nname: ${name} # as it is called\nversion: ${version}\n`,
  "values.yaml": "replicas: 1\n",
  "templates/configmap.yaml": "kind: ConfigMap\n",
  ...files,
});

export async function tarball(files: ChartFile[]): Promise<Buffer> {
  const tar = pack();
  for (const { path, contents } of files) tar.entry({ name: path, mtime: new Date(0) }, contents);
  tar.finalize();
  return gzipSync(await buffer(tar));
}

export type HelmRequest = { path: string; authorization?: string; ifNoneMatch?: string; client?: string };
export type HelmTrouble = { status: number; headers?: Record<string, string>; body?: string | Buffer } | "hang" | "endless" | { truncateAfterBytes: number };

export type HelmServer = {
  /** `http://127.0.0.1:PORT/charts` */
  url: string;
  origin: string;
  /** Below `/charts`. */
  files: Map<string, Buffer>;
  /** Adds a package and writes the index anew; `urls` and `digest` as they are to stand there. */
  publish(name: string, version: string, bytes: Buffer, more?: { urls?: string[]; digest?: string; created?: string }): void;
  requests: HelmRequest[];
  spoil: ((request: HelmRequest) => HelmTrouble | undefined) | undefined;
  stop(): Promise<void>;
};

type Entry = { name: string; version: string; urls: string[]; digest: string; created: string };

export async function startHelmServer({ auth, tls }: { auth?: { username: string; password: string }; tls?: ServerOptions } = {}): Promise<HelmServer> {
  const wanted = auth && `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;
  const entries: Entry[] = [];

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const [path = ""] = (request.url ?? "").split("?", 1);
    const { authorization, "if-none-match": ifNoneMatch } = request.headers;
    const client = tls && ((request.socket as TLSSocket).getPeerCertificate().subject?.CN as string | undefined);
    const asked = { path, ...(authorization && { authorization }), ...(ifNoneMatch && { ifNoneMatch }), ...(client && { client }) };
    server.requests.push(asked);
    const trouble = server.spoil?.(asked);
    if (trouble === "hang") return;
    if (trouble === "endless") return endless(response);
    if (trouble && "status" in trouble) return void response.writeHead(trouble.status, trouble.headers).end(trouble.body);
    if (wanted && authorization !== wanted) return void response.writeHead(401).end("no");
    const found = server.files.get(path.replace(/^\/charts\//, ""));
    if (!found) return void response.writeHead(404).end("there is no such file");
    const etag = `"${createHash("sha256").update(found).digest("hex")}"`;
    if (ifNoneMatch === etag) return void response.writeHead(304, { etag }).end();
    response.writeHead(200, { etag, "content-length": found.length });
    if (!trouble) return void response.end(found);
    response.write(found.subarray(0, trouble.truncateAfterBytes), () => response.destroy());
  }

  const listener = tls ? createSecureServer(tls, answer) : createServer(answer);
  await new Promise<void>((resolve, reject) => listener.once("error", reject).listen(0, "127.0.0.1", resolve));
  const origin = `${tls ? "https" : "http"}://127.0.0.1:${(listener.address() as AddressInfo).port}`;

  const server: HelmServer = {
    url: `${origin}/charts`,
    origin,
    files: new Map(),
    publish(name, version, bytes, { urls = [`${name}-${version}.tgz`], digest = createHash("sha256").update(bytes).digest("hex"), created = "2026-01-01T00:00:00Z" } = {}) {
      server.files.set(`${name}-${version}.tgz`, bytes);
      entries.push({ name, version, urls, digest, created });
      server.files.set("index.yaml", Buffer.from(indexOf(entries)));
    },
    requests: [],
    spoil: undefined,
    async stop() {
      listener.closeAllConnections();
      await new Promise((closed) => listener.close(closed));
    },
  };
  return server;
}

/** As `helm repo index` writes it. */
function indexOf(entries: Entry[]): string {
  const names = [...new Set(entries.map(({ name }) => name))];
  const written = names.map((name) => `  ${name}:\n${entries.filter((each) => each.name === name).map(entryOf).join("")}`);
  return `apiVersion: v1\nentries:\n${written.join("")}generated: "2026-01-01T00:00:00Z"\n`;
}

const entryOf = ({ name, version, urls, digest, created }: Entry): string =>
  `  - apiVersion: v2\n    created: "${created}"\n    digest: ${digest}\n    name: ${name}\n    urls:\n${urls.map((url) => `    - ${url}\n`).join("")}    version: ${version}\n`;

function endless(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, 0x20);
  response.writeHead(200);
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on("drain", more);
  more();
}
