/** Keys without their passphrase, for as long as they are used: to take one off takes as long as it was meant to. */
import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { GitThreads } from "../git-threads.ts";
import type { Access, Remote } from "../transport.ts";
import { isLocked } from "./identity.ts";

const keptMs = 3_600_000;

export class Unlocked {
  private readonly threads: GitThreads;
  private readonly keys = new LRUCache<string, string>({ max: 256, ttl: keptMs });

  constructor(threads: GitThreads) {
    this.threads = threads;
  }

  /** The same server, with a key that is ready to use. @throws Fault AuthenticationFailed */
  async open(remote: Remote, { url }: Pick<Access, "url">, signal: AbortSignal): Promise<Remote> {
    const { ssh } = remote.credentials;
    if (!ssh || !isLocked(ssh.identity)) return remote;
    const name = createHash("sha256").update(JSON.stringify(ssh.identity)).digest("hex");
    const pem = this.keys.get(name) ?? (await this.threads.run("unlock", { access: { url }, identity: ssh.identity }, signal));
    this.keys.set(name, pem);
    return { ...remote, credentials: { ...remote.credentials, ssh: { ...ssh, identity: { pem, passphrase: "" } } } };
  }
}
