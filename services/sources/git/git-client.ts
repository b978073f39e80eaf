/** Who talks to a server for isomorphic-git and for us, by the scheme of its URL. */
import type { HttpClient } from "isomorphic-git";
import { httpClient } from "./http-client.ts";
import type { Remote } from "./transport.ts";

export type GitClient = HttpClient & { /** Lets go of a connection of its own. */ close(): void };

/** Git's programs on the other side. */
export type GitService = "git-upload-pack" | "git-receive-pack";

export type ClientOptions = {
  signal: AbortSignal;
  /** Longest answer that is read. */
  maxBytes: number;
  /** The greeting of a server that was asked before is not asked for again: a poll is then one request. */
  remember?: boolean;
  /** Who is talked to; `git-upload-pack` when absent. */
  service?: GitService;
};

export const gitClient = (remote: Remote, options: ClientOptions): GitClient =>
  remote.address.base.protocol === "ssh:" ? lazySshClient(remote, options) : httpClient(remote, options);

/** The SSH library takes a while to load, and most never need it. */
function lazySshClient(remote: Remote, options: ClientOptions): GitClient {
  let client: Promise<GitClient> | undefined;
  const open = async () => (await import("./ssh/client.ts")).sshClient(remote, options);
  return {
    request: async (question) => (await (client ??= open())).request(question),
    close: () => void client?.then((opened) => opened.close(), () => undefined),
  };
}
