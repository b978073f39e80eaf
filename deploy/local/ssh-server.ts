/**
 * A Git server over SSH on loopback: an SSH server of the ssh2 library, and git's own `upload-pack` and `receive-pack` behind it. Tests say
 * who may come in, and which keys the host shows.
 */
import { spawn } from "node:child_process";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import ssh2, { type Connection, type ServerChannel } from "ssh2";
import { gitEnvironment } from "./git-backend.ts";

export type SshServerOptions = {
  /** The folder of the bare repositories. */
  dir: string;
  /** PEM; one Ed25519 key, unless given. */
  hostKeys?: string[];
  /** Public keys in `authorized_keys` form. */
  authorized: string[];
  /** Everybody who comes has to go by this name. */
  user?: string;
};

export type SshServer = {
  port: number;
  /** Lines for `known_hosts`, one for each host key. */
  knownHosts: string;
  repoUrl(name: string): string;
  /** How often somebody was let in. */
  sessions: number;
  /** Takes the place of git, for one command. */
  instead: ((channel: ServerChannel) => void) | undefined;
  stop(): Promise<void>;
};

export async function startSshServer({ dir, hostKeys, authorized, user = "git" }: SshServerOptions): Promise<SshServer> {
  const keys = hostKeys ?? [newKey("ed25519").private];
  const known = authorized.map((line) => publicKeyOf(line));
  const open = new Set<Connection>();
  const listener = new ssh2.Server({ hostKeys: keys }, (client) => {
    open.add(client);
    client.on("close", () => open.delete(client)).on("error", () => undefined);
    client.on("authentication", (attempt) => {
      if (attempt.method !== "publickey" || attempt.username !== user) return attempt.reject(["publickey"]);
      const key = known.find((each) => each.getPublicSSH().equals(attempt.key.data));
      if (!key) return attempt.reject(["publickey"]);
      if (!attempt.signature || !attempt.blob) return attempt.accept(); // asks whether the key would do
      return key.verify(attempt.blob, attempt.signature, attempt.hashAlgo) === true ? attempt.accept() : attempt.reject();
    });
    client.on("ready", () => {
      server.sessions++;
      client.on("session", (accept) => {
        accept().on("exec", (accepted, _reject, { command }) => {
          const channel = accepted();
          if (server.instead) return server.instead(channel);
          runGit(dir, command, channel);
        });
      });
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const server: SshServer = {
    port,
    knownHosts: keys.map((key) => `[127.0.0.1]:${port} ${authorizedLine(key)}\n`).join(""),
    repoUrl: (name) => `ssh://${user}@127.0.0.1:${port}/${name}.git`,
    sessions: 0,
    instead: undefined,
    async stop() {
      for (const client of open) client.end();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
  return server;
}

function runGit(dir: string, command: string, channel: ServerChannel): void {
  const [, service = "upload-pack", path = ""] = /^git-(upload-pack|receive-pack) '(.*)'$/.exec(command) ?? [];
  const program = spawn("git", [service, join(dir, path)], { env: gitEnvironment });
  program.stdin.on("error", () => undefined);
  channel.on("error", () => undefined);
  program.stdout.pipe(channel, { end: false });
  program.stderr.pipe(channel.stderr, { end: false });
  channel.pipe(program.stdin);
  channel.on("close", () => program.kill());
  program.on("close", (code) => {
    channel.exit(code ?? 1);
    channel.end();
  });
}

/** A key pair: the private key in PEM, the public one in `authorized_keys` form. */
export function newKey(type: "ed25519" | "rsa" | "ecdsa", options: { bits?: number; passphrase?: string } = {}): { private: string; public: string } {
  const { passphrase, bits = type === "rsa" ? 2048 : 256 } = options;
  const locked = passphrase !== undefined && { passphrase, cipher: "aes256-ctr", rounds: 4 };
  for (;;) {
    const made = ssh2.utils.generateKeyPairSync(type as "rsa", { bits, ...locked } as { bits: number });
    // ssh2 drops leading zeros: one Ed25519 key in some hundred cannot be read again.
    if (!(ssh2.utils.parseKey(made.private, passphrase) instanceof Error)) return made;
  }
}

/** What a `known_hosts` holds of a host's private key. */
export function authorizedLine(pem: string): string {
  const key = ssh2.utils.parseKey(pem);
  if (key instanceof Error) throw key;
  return `${key.type} ${key.getPublicSSH().toString("base64")}`;
}

function publicKeyOf(line: string) {
  const key = ssh2.utils.parseKey(line);
  if (key instanceof Error) throw key;
  return key;
}
