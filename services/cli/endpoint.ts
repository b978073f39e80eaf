/** Where the running Flotilla is and what opens its API: `endpoint.json`, written by `flotilla up`. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { Failure } from "./failure.ts";

type Env = Record<string, string | undefined>;

const endpoint = z.object({ url: z.url({ protocol: /^https?$/ }), token: z.string().min(1) });
type Endpoint = z.infer<typeof endpoint>;

/** `--data`, else `$XDG_DATA_HOME/flotilla`, else `~/.local/share/flotilla`. */
export const dataDirOf = (given: string | undefined, env: Env): string =>
  given ?? join(env["XDG_DATA_HOME"] || join(env["HOME"] || homedir(), ".local", "share"), "flotilla");

const fileIn = (dataDir: string) => join(dataDir, "endpoint.json");

/**
 * `--server` or FLOTILLA_SERVER with FLOTILLA_TOKEN; otherwise the file. The file's token goes to its own address only.
 *
 * @throws Failure when neither says where Flotilla is
 */
export async function findEndpoint({ server, data }: { server?: string; data?: string }, env: Env): Promise<Endpoint> {
  const url = server ?? env["FLOTILLA_SERVER"];
  const token = env["FLOTILLA_TOKEN"];
  if (url && token) return { url, token };
  const dataDir = dataDirOf(data, env);
  const kept = await readEndpoint(dataDir);
  if (url && kept?.url.replace(/\/+$/, "") !== url.replace(/\/+$/, ""))
    throw new Failure(`no token for ${url}: set FLOTILLA_TOKEN`);
  if (kept) return kept;
  throw new Failure(
    `no running Flotilla found in ${dataDir}: start one with "flotilla up", or name one with --server and FLOTILLA_TOKEN`,
  );
}

async function readEndpoint(dataDir: string): Promise<Endpoint | undefined> {
  const text = await readFile(fileIn(dataDir), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new Failure(`cannot read ${fileIn(dataDir)} (${error.code}): check its permissions`);
  });
  if (text === undefined) return undefined;
  try {
    return endpoint.parse(JSON.parse(text));
  } catch {
    // Never quoted: it holds a token.
    throw new Failure(`${fileIn(dataDir)} is damaged: delete it and start "flotilla up" again`);
  }
}
