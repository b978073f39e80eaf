/** The sample as a repository on a Git server of our own, and a clone of it in which to work like anyone else. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startGitServer, type GitServer } from "../git-server.ts";
import { gitEnvironment } from "../git-backend.ts";
import { runProgram } from "./run-program.ts";
import { repositoryFiles } from "./sample.ts";

const name = "shop";
const hookProgram = join(import.meta.dirname, "post-receive.mjs");

export type Repository = {
  url: string;
  /** The work tree. */
  clone: string;
  /** Runs git in the work tree; returns what it printed, messages of the server (`remote: …`) included. */
  git(...args: string[]): Promise<string>;
  /** From now on each push calls this webhook. */
  callOnPush(hook: { url: string; token: string }): Promise<void>;
  stop(): Promise<void>;
};

/** @param dir gets `git/` with the server's repositories and `shop/`, the clone */
export async function startRepository(dir: string): Promise<Repository> {
  const server = await startGitServer({ dir: join(dir, "git") });
  const clone = join(dir, name);
  const run = async (cwd: string, args: string[]) => {
    const shown = `git ${args.join(" ")}`;
    const { out, err } = await runProgram({ file: "git", args, cwd, env: gitEnvironment, shown });
    return [out, err].filter(Boolean).join("\n");
  };
  try {
    await server.createRepo(name);
    await server.commit(name, { files: await repositoryFiles(), message: "A shop with three environments" });
    await run(dir, ["clone", "--quiet", server.repoUrl(name), clone]);
    for (const [key, value] of identity) await run(clone, ["config", key, value]);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    url: server.repoUrl(name),
    clone,
    git: (...args) => run(clone, args),
    callOnPush: ({ url, token }) => installHook(server, url, token),
    stop: () => server.stop(),
  };
}

/** So that a commit in the clone works on a machine where git does not know its user yet. */
const identity = [
  ["user.name", "Sam Shopkeeper"],
  ["user.email", "sam@shop.example"],
  ["commit.gpgsign", "false"],
] as const;

async function installHook(server: GitServer, hook: string, token: string): Promise<void> {
  const settings = { hook, token, repository: server.repoUrl(name) };
  await writeFile(join(server.path(name), "flotilla-webhook.json"), JSON.stringify(settings), { mode: 0o600 });
  const script = `#!/bin/sh\nexec '${process.execPath}' '${hookProgram}'\n`;
  await writeFile(join(server.path(name), "hooks", "post-receive"), script, { mode: 0o755 });
}
