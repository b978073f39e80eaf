/**
 * What is asked over HTTP, over SSH: Git's program on the other side tells its references, takes one request
 * and answers. The answers are given as if they had come over HTTP.
 */
import type { GitHttpRequest } from "isomorphic-git";
import ssh2, { type ClientChannel, type ConnectConfig } from "ssh2";
import { Fault } from "#protocol/errors/fault.ts";
import type { SshCredentials } from "../credentials.ts";
import { explain, throwIfAborted } from "#services/clients/http/failure.ts";
import { checkError, serverError } from "../answers.ts";
import type { ClientOptions, GitClient, GitService } from "../git-client.ts";
import { each, framed } from "../pkt-line.ts";
import { openSocket, type Target } from "#services/clients/http/proxy.ts";
import { bounded } from "#services/clients/http/bounded.ts";
import type { Remote } from "../transport.ts";
import { acceptCertificate, allowCertificates, expectCertificates } from "./certified.ts";
import { certificateAlgorithms, certificateRefusal, isCertificate } from "./host-certificate.ts";
import { hasAuthority, hostName, judge, keysOf, parseKnownHosts, type HostEntry } from "./known-hosts.ts";
import type { Identity } from "./identity.ts";
import { unlock } from "./private-key.ts";

const connectMs = 30_000;
const farewellMs = 1_000;

/** One client for one call: a connection from its first request until it is closed. */
export function sshClient(remote: Remote, { signal, maxBytes, service = "git-upload-pack" }: ClientOptions): GitClient {
  let conversation: Conversation | undefined;

  async function greet() {
    conversation = await begin(remote, service, { signal, maxBytes });
    const chunks = [Buffer.from(`${framed(`# service=${service}\n`)}0000`), ...(await conversation.section())];
    checkError(remote, chunks.slice(1));
    return { type: "advertisement", body: each(chunks) };
  }

  async function question(body: GitHttpRequest["body"]) {
    if (!conversation) throw new RangeError("the server was not greeted");
    await conversation.say(Buffer.concat(await Array.fromAsync(body ?? [])));
    const chunks = await Array.fromAsync(conversation.rest());
    checkError(remote, chunks);
    return { type: "result", body: each(chunks) };
  }

  return {
    async request({ url, method = "GET", body }) {
      const { type, body: answer } = await (method === "GET" ? greet() : question(body)).catch((error: unknown) => {
        conversation?.close();
        throwIfAborted(signal, remote.address.shown);
        throw explain(error, remote.address.shown);
      });
      const headers = { "content-type": `application/x-${service}-${type}` };
      return { url, method, statusCode: 200, statusMessage: "OK", headers, body: answer };
    },
    close: () => conversation?.close(),
  };
}

type Conversation = {
  /** Everything up to the next empty line. */
  section(): Promise<Uint8Array[]>;
  say(text: Buffer): Promise<void>;
  rest(): AsyncGenerator<Uint8Array>;
  close(): void;
};

async function begin(remote: Remote, service: GitService, { signal, maxBytes }: ClientOptions): Promise<Conversation> {
  const { shown } = remote.address;
  const { ssh } = remote.credentials;
  if (!ssh) throw new Fault("AuthenticationFailed", shown, { detail: "ssh:// needs a Secret with identity and known_hosts" });
  const connection = new ssh2.Client();
  const config = configOf(remote, ssh, connection);
  const sock = await openSocket(config, remote.proxy, signal, connectMs);
  const stop = () => void sock.destroy(); // the library's own destroy leaves a socket that it has ended
  signal.addEventListener("abort", stop, { once: true });
  connection.on("error", () => undefined); // each step has its own listener; later ones only break the channel
  try {
    signal.throwIfAborted();
    await connected(connection, { ...config, sock }, remote);
    const channel = await started(connection, service, remote);
    return converse(channel, remote, { signal, maxBytes }, () => {
      signal.removeEventListener("abort", stop);
      if (channel.writable) channel.write("0000"); // nothing more is wanted
      connection.end();
      setTimeout(stop, farewellMs).unref();
    });
  } catch (error) {
    signal.removeEventListener("abort", stop);
    stop();
    throw error;
  }
}

type Checked = ConnectConfig & Target & { name: string; /** Why the host's key was not accepted. */ refused: { by?: Fault } };

function configOf({ address: { base, shown } }: Remote, ssh: SshCredentials, connection: ssh2.Client): Checked {
  const host = base.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = Number(base.port || 22);
  const entries = readKnownHosts(ssh.knownHosts, shown);
  const name = hostName(host, port);
  const refused: Checked["refused"] = {};
  return {
    host,
    port,
    name,
    refused,
    username: ssh.username,
    privateKey: readIdentity(ssh.identity, shown),
    readyTimeout: connectMs,
    algorithms: { serverHostKey: hostKeyAlgorithms(entries, name, shown) },
    hostVerifier: (key: Buffer) => {
      const isCertified = isCertificate(key);
      const fault = isCertified ? certificateFault(entries, name, host, key, shown) : refusal(entries, name, key, shown);
      if (fault) refused.by = fault;
      else if (isCertified) acceptCertificate(connection, key);
      return fault === undefined;
    },
  };
}

function connected(connection: ssh2.Client, config: Checked, { address: { shown } }: Remote): Promise<void> {
  const { refused, name } = config;
  return new Promise((resolve, reject) => {
    connection.once("ready", resolve);
    connection.on("error", (error) => reject(refused.by ?? explainSsh(error, shown, name)));
    connection.once("close", () => reject(refused.by ?? new Fault("UpstreamUnreachable", shown, { detail: "the connection broke off" })));
    connection.connect(config);
    expectCertificates(connection);
  });
}

function started(connection: ssh2.Client, service: GitService, { address: { base, shown } }: Remote): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    connection.once("close", () => reject(new Fault("UpstreamUnreachable", shown, { detail: "the connection broke off" })));
    connection.exec(`${service} ${quoted(pathOf(base))}`, (error, channel) => {
      if (error) reject(new Fault("UpstreamUnreachable", shown, { detail: `the server does not run ${service}` }));
      else resolve(channel);
    });
  });
}

/** The channel's output, bounded, in pieces; what the server says beside it explains an early end. */
function converse(channel: ClientChannel, remote: Remote, bounds: ClientOptions, close: () => void): Conversation {
  const said: string[] = [];
  channel.stderr.on("data", (chunk: Buffer) => {
    if (said.length < 16) said.push(chunk.toString("utf8", 0, 1024));
  });
  channel.on("error", () => undefined);
  const chunks = bounded(channel, { shown: remote.address.shown, ...bounds })[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array();

  const more = async (): Promise<boolean> => {
    const { value, done } = await chunks.next();
    if (done) return false;
    held = value;
    return true;
  };
  const early = () => {
    const text = said.join("").trim().split("\n", 1)[0] ?? "";
    return text ? serverError(remote, text) : new Fault("UpstreamUnreachable", remote.address.shown, { detail: "the answer breaks off, or is not Git's" });
  };

  return {
    async section() {
      const pieces: Uint8Array[] = [];
      for (let [header, left, isOver] = ["", 0, false]; ; ) {
        if (held.length === 0 && !(await more())) throw early();
        let at = 0;
        while (at < held.length && !isOver) {
          if (left > 0) {
            const some = Math.min(left, held.length - at);
            [at, left] = [at + some, left - some];
            continue;
          }
          header += String.fromCharCode(held[at++] ?? 0);
          if (header.length < 4) continue;
          if (!/^[0-9a-f]{4}$/i.test(header)) throw early();
          [isOver, left, header] = [header === "0000", Math.max(Number.parseInt(header, 16) - 4, 0), ""];
        }
        pieces.push(held.subarray(0, at));
        held = held.subarray(at);
        if (isOver) return pieces;
      }
    },
    say: (text) => new Promise((resolve, reject) => channel.write(text, (error) => (error ? reject(error) : resolve()))),
    async *rest() {
      if (held.length > 0) yield held;
      let any = held.length > 0;
      for (;;) {
        const { value, done } = await chunks.next();
        if (done) break;
        any = true;
        yield value;
      }
      close();
      if (!any) throw early();
    },
    close,
  };
}

function readKnownHosts(text: string, shown: string): HostEntry[] {
  try {
    return parseKnownHosts(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("AuthenticationFailed", shown, { detail: error.message });
  }
}

/** @throws Fault AuthenticationFailed */
export function readIdentity(identity: Identity, shown: string): string {
  try {
    return unlock(identity);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Fault("AuthenticationFailed", shown, { detail: error.message });
  }
}

const kinds: Record<string, ConnectConfig["algorithms"] & object extends { serverHostKey?: infer List } ? List : never> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
};

/** A server with several keys shows the one that is asked for: only those of the kinds that are known will do. */
function hostKeyAlgorithms(entries: HostEntry[], name: string, shown: string): Exclude<(typeof kinds)[string], undefined> {
  const known = keysOf(entries, name);
  const isCertified = hasAuthority(entries, name);
  if (isCertified) allowCertificates();
  const found = [
    ...(isCertified ? certificateAlgorithms : []),
    ...Object.entries(kinds).flatMap(([type, names]) => (known.some((entry) => entry.type === type) ? (names as string[]) : [])),
  ];
  if (found.length > 0) return found as Exclude<(typeof kinds)[string], undefined>;
  throw new Fault("HostKeyRejected", shown, { detail: `known_hosts has no key of ${name}` });
}

function certificateFault(entries: HostEntry[], name: string, host: string, blob: Buffer, shown: string): Fault | undefined {
  const why = certificateRefusal(entries, name, host, blob, Date.now());
  return why === undefined ? undefined : new Fault("HostKeyRejected", shown, { detail: `the certificate that ${name} shows ${why}` });
}

function refusal(entries: HostEntry[], name: string, key: Buffer, shown: string): Fault | undefined {
  const verdict = judge(entries, name, key);
  if (verdict === "known") return undefined;
  const detail = verdict === "revoked" ? `the key that ${name} shows is revoked in known_hosts` : `${name} shows another key than those in known_hosts`;
  return new Fault("HostKeyRejected", shown, { detail });
}

/** The library's messages may quote the server: its levels and a few of its own words are enough. */
function explainSsh(error: Error & { level?: string }, shown: string, name: string): Fault {
  const { level, message } = error;
  if (level === "client-authentication")
    return new Fault("AuthenticationFailed", shown, { detail: "the server does not accept the identity for this user" });
  if (level === "client-timeout") return new Fault("UpstreamUnreachable", shown, { detail: "no connection in time" });
  if (message === "Handshake failed: no matching host key format")
    return new Fault("HostKeyRejected", shown, { detail: `${name} has no key of the kinds that known_hosts has of it, nor a certificate where that names an authority` });
  if (level === "handshake" || level === "protocol") {
    const detail = message.startsWith("Handshake failed: no matching ") ? message : "the server does not speak SSH as it should";
    return new Fault("UpstreamUnreachable", shown, { detail });
  }
  return explain(error, shown);
}

const quoted = (path: string): string => `'${path.replaceAll("'", "'\\''").replaceAll("!", "'\\!'")}'`;

function pathOf({ pathname }: URL): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname;
  }
}
