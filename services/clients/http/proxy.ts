/** The proxy of `spec.proxySecretRef`, and sockets that lead through it to anywhere. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { Fault } from "#protocol/errors/fault.ts";

export type Proxy = {
  /** Without its user and password. */
  url: URL;
  username: string;
  password: string;
};

/** Key names, and what is allowed of them, are Flux's (fluxcd/pkg runtime/secrets, ProxyURLFromSecret). */
const longestAddress = 2048;
const schemes = new Set(["http:", "https:", "socks5:"]);
const ports: Record<string, number> = { "http:": 80, "https:": 443, "socks5:": 1080 };

/** @throws Fault ProxyInvalid */
export function readProxy(shown: string, data: Record<string, Uint8Array>): Proxy {
  const text = (key: string) => Buffer.from(data[key] ?? []).toString();
  const address = text("address").trim();
  const refused = (detail: string) => new Fault("ProxyInvalid", shown, { detail });
  if (address === "") throw refused("the proxy's Secret has no address");
  if (address.length > longestAddress || !URL.canParse(address)) throw refused("the proxy's address is not a URL");
  const url = new URL(address);
  if (!schemes.has(url.protocol)) throw refused("the proxy's address is neither http://, https:// nor socks5://");
  if (url.hostname === "") throw refused("the proxy's address names no host");
  const [username, password] = [text("username") || decode(url.username), text("password") || decode(url.password)];
  if (password && !username) throw refused("the proxy's Secret has a password and no username");
  const bare = new URL(`${url.protocol}//${url.host}`);
  return { url: bare, username, password };
}

export const authorizationOf = ({ username, password }: Proxy): string | undefined =>
  username ? `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` : undefined;

export type Target = { host: string; port: number };

/** A socket that is connected to the target, by the proxy when there is one. @throws an error with a code, see failure.ts */
export async function openSocket(target: Target, proxy: Proxy | undefined, signal: AbortSignal, withinMs: number): Promise<Socket> {
  const until = AbortSignal.any([signal, AbortSignal.timeout(withinMs)]);
  if (!proxy) return direct(target, until);
  return proxy.url.protocol === "socks5:" ? bySocks(target, proxy, until, withinMs) : byConnect(target, proxy, until);
}

function direct({ host, port }: Target, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const stop = () => socket.destroy(timedOut());
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      signal.removeEventListener("abort", stop);
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

async function bySocks({ host, port }: Target, proxy: Proxy, signal: AbortSignal, timeout: number): Promise<Socket> {
  const { SocksClient } = await import("socks");
  const [proxyHost, proxyPort] = hostAndPort(proxy);
  const opening = SocksClient.createConnection({
    proxy: { host: proxyHost, port: proxyPort, type: 5, ...(proxy.username && { userId: proxy.username, password: proxy.password }) },
    command: "connect",
    destination: { host, port },
    timeout,
  }).catch((error: Error) => {
    throw proxyFailure(codeOf(error), "the proxy refused, or does not speak SOCKS 5");
  });
  const late = new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(timedOut()), { once: true }));
  void opening.then(({ socket }) => signal.aborted && socket.destroy(), () => undefined);
  const { socket } = await Promise.race([opening, late]);
  return socket;
}

/** RFC 9110, 9.3.6. */
function byConnect({ host, port }: Target, proxy: Proxy, signal: AbortSignal): Promise<Socket> {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const authorization = authorizationOf(proxy);
  const [proxyHost, proxyPort] = hostAndPort(proxy);
  return new Promise((resolve, reject) => {
    const request = (proxy.url.protocol === "https:" ? httpsRequest : httpRequest)({
      host: proxyHost,
      port: proxyPort,
      method: "CONNECT",
      path: authority,
      agent: false,
      signal,
      headers: { host: authority, ...(authorization && { "proxy-authorization": authorization }) },
    });
    request.once("connect", ({ statusCode }, socket, head) => {
      if (statusCode === 200) {
        if (head.length > 0) socket.unshift(head);
        return resolve(socket as Socket);
      }
      socket.destroy();
      reject(proxyFailure("", `the proxy answers HTTP ${statusCode}`));
    });
    request.once("response", (response) => {
      response.destroy();
      reject(proxyFailure("", `the proxy answers HTTP ${response.statusCode}`));
    });
    request.once("error", (error) => reject(signal.aborted ? timedOut() : proxyFailure(codeOf(error), "the proxy gave no answer")));
    request.end();
  });
}

function hostAndPort({ url }: Proxy): [string, number] {
  return [url.hostname.replace(/^\[(.*)\]$/, "$1"), Number(url.port || ports[url.protocol])];
}

/** Not our own words about the Git server: which of the two fails is what an operator wants to know. */
export class ProxyFailure extends Error {
  /** Of the socket to the proxy. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const proxyFailure = (code: string, message: string) => new ProxyFailure(code, message);
const timedOut = () => Object.assign(new Error("no connection in time"), { code: "ETIMEDOUT" });
const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? error.code : "");

/** Of a URL's user or password. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray percent sign is part of the password
  }
}
