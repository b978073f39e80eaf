/** Through proxies that count what they are asked: one over HTTP, with CONNECT and without, and one for SOCKS 5. */
import assert from "node:assert/strict";
import { createServer as createHttp, request as forward, type Server as HttpServer } from "node:http";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { startGitServer, type GitServer } from "../../../deploy/local/git-server.ts";
import { newKey, startSshServer, type SshServer } from "../../../deploy/local/ssh-server.ts";
import { scratchFolder } from "../../../test/kit/cluster.ts";
import { closeConnections } from "#services/clients/http/connections.ts";
import { createGitRepository } from "./git.ts";
import { readProxy } from "#services/clients/http/proxy.ts";
import { gitThreads } from "./git-threads.ts";

const dir = scratchFolder();
const threads = gitThreads(1);
const identity = newKey("ed25519");
const user = { username: "ada", password: "through the wall" };
/** What each proxy was asked for, and as whom. */
const asked: string[] = [];
let git: GitServer;
let ssh: SshServer;
let http: HttpServer;
let socks: Server;
let commit: string;

before(async () => {
  git = await startGitServer({ dir });
  await git.createRepo("shop");
  commit = await git.commit("shop", { files: { a: "1" }, message: "One" });
  ssh = await startSshServer({ dir, authorized: [identity.public] });
  http = await listening(httpProxy());
  socks = await listening(socksProxy());
});
beforeEach(() => asked.splice(0));
after(async () => {
  await closeConnections();
  http.closeAllConnections();
  await Promise.all([threads.close(), git.stop(), ssh.stop(), ...[http, socks].map((server) => new Promise((closed) => server.close(closed)))]);
});

const portOf = (server: Server) => (server.address() as AddressInfo).port;
const addressOf = (scheme: string, server: Server) => `${scheme}://127.0.0.1:${portOf(server)}`;

async function listening<S extends Server>(server: S): Promise<S> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

const mayPass = (authorization = "") => authorization === `Basic ${Buffer.from(`${user.username}:${user.password}`).toString("base64")}`;

function httpProxy(): HttpServer {
  const server = createHttp((request, response) => {
    asked.push(`${request.method} ${request.url?.replace(/:\d+/, "")}`);
    if (!mayPass(request.headers["proxy-authorization"])) return void response.writeHead(407).end();
    const { "proxy-authorization": _, ...headers } = request.headers;
    const onward = forward(request.url ?? "", { method: request.method ?? "GET", headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  server.on("connect", (request, socket: Socket) => {
    asked.push(`CONNECT ${request.url?.replace(/:\d+/, "")}`);
    if (!mayPass(request.headers["proxy-authorization"])) return void socket.end("HTTP/1.1 407 Who are you\r\n\r\n");
    const [host = "", port] = (request.url ?? "").split(":");
    join(socket, Number(port), host, "HTTP/1.1 200 OK\r\n\r\n");
  });
  return server;
}

/** RFC 1928 and 1929, for IPv4 and names. */
function socksProxy(): Server {
  return createServer((socket) => {
    let step = 0;
    socket.on("error", () => undefined).on("data", (data) => {
      if (step === 0) return socket.write(Buffer.from([5, 2])) && step++;
      if (step === 1) {
        const name = data.toString("utf8", 2, 2 + (data[1] ?? 0));
        const password = data.toString("utf8", 3 + (data[1] ?? 0));
        const isGood = name === user.username && password === user.password;
        asked.push(`SOCKS as ${name}`);
        step++;
        return isGood ? socket.write(Buffer.from([1, 0])) : socket.end(Buffer.from([1, 1]));
      }
      socket.removeAllListeners("data");
      const host = data[3] === 1 ? [...data.subarray(4, 8)].join(".") : data.toString("utf8", 5, 5 + (data[4] ?? 0));
      join(socket, data.readUInt16BE(data.length - 2), host, Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    });
  });
}

function join(socket: Socket, port: number, host: string, greeting: string | Buffer): void {
  const onward = connect(port, host, () => {
    socket.write(greeting);
    socket.pipe(onward).pipe(socket);
  });
  onward.on("error", () => socket.destroy());
  socket.on("error", () => onward.destroy());
}

type Data = Record<string, string>;
const bytes = (data: Data) => Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value)]));
const secrets = { git: () => ({ identity: identity.private, known_hosts: ssh.knownHosts }) };

async function through(proxy: Data, url: string): Promise<string> {
  const call = {
    key: { kind: "gitrepository", namespace: "apps", name: "shop" },
    spec: { url, ref: { branch: "main" }, proxySecretRef: { name: "proxy" }, ...(url.startsWith("ssh") && { secretRef: { name: "git" } }) },
    secret: async (name: string) => bytes(name === "proxy" ? proxy : secrets.git()),
    signal: AbortSignal.timeout(30_000),
  };
  const gitRepository = createGitRepository({ threads });
  const revision = await gitRepository.resolve(call);
  assert.equal((await gitRepository.fetch({ ...call, revision })).revision, revision);
  return revision;
}

const ways: { scheme: "http" | "socks5"; to: "http" | "ssh"; asks: RegExp }[] = [
  { scheme: "http", to: "http", asks: /^(GET|POST) http:\/\/127\.0\.0\.1\/shop\.git\// },
  { scheme: "http", to: "ssh", asks: /^CONNECT 127\.0\.0\.1$/ },
  { scheme: "socks5", to: "http", asks: /^SOCKS as ada$/ },
  { scheme: "socks5", to: "ssh", asks: /^SOCKS as ada$/ },
];
for (const { scheme, to, asks } of ways) {
  const address = () => addressOf(scheme, scheme === "http" ? http : socks);
  const url = () => (to === "http" ? git.repoUrl("shop") : ssh.repoUrl("shop"));
  test(`[SR66] ${to} by a proxy for ${scheme}`, async () => {
    assert.equal(await through({ address: address(), ...user }, url()), `main@sha1:${commit}`);
    assert.ok(asked.length > 0 && asked.every((each) => asks.test(each)), asked.join());
  });
  test(`[SR66] ${to} by a proxy for ${scheme} that does not let us through`, () =>
    assert.rejects(through({ address: address(), ...user, password: "x" }, url()), fault("UpstreamUnreachable", /proxy/)));
  test(`[SR66] ${to} by a proxy for ${scheme} that is not there`, () =>
    assert.rejects(through({ address: `${scheme}://127.0.0.1:1`, ...user }, url()), fault("UpstreamUnreachable", /refused/)));
}

test("[SR66] https goes by CONNECT, to either kind of proxy", async () => {
  for (const address of [addressOf("http", http), addressOf("socks5", socks)])
    await assert.rejects(through({ address, ...user }, git.repoUrl("shop").replace("http:", "https:")), fault("UpstreamUnreachable", /TLS|broke off/));
  assert.match(asked.join(), /CONNECT 127\.0\.0\.1.*SOCKS as ada/);
});

test("[SR66] the address may hold the user", async () => {
  const address = addressOf("http", http).replace("//", `//${user.username}:${encodeURIComponent(user.password)}@`);
  assert.equal(await through({ address }, git.repoUrl("shop")), `main@sha1:${commit}`);
});

const refused: { data: Data; says: RegExp }[] = [
  { data: {}, says: /no address/ },
  { data: { address: "proxy.example.com:3128" }, says: /neither http|not a URL/ },
  { data: { address: "ftp://proxy.example.com" }, says: /neither http/ },
  { data: { address: "http://" }, says: /not a URL/ },
  { data: { address: `http://${"a".repeat(2048)}` }, says: /not a URL/ },
  { data: { address: "http://proxy.example.com", password: "x" }, says: /no username/ },
];
for (const { data, says } of refused)
  test(`[SR66] ${JSON.stringify(data).slice(0, 60)} is no proxy`, () =>
    assert.throws(() => readProxy("https://git.example.com/shop", bytes(data)), fault("ProxyInvalid", says)));

function fault(code: FaultCode, detail: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Fault, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.detail ?? "", detail);
    assert.ok(!JSON.stringify([error, error.message]).includes(user.password));
    return true;
  };
}
