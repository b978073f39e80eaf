/** What somebody asked of the API server, from its audit log: the server's own count, not the client's. */
import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { eventually } from "../../deploy/local/eventually.ts";
import type { Kube } from "./kube.ts";

export type AuditedRequest = {
  verb: string;
  user: string;
  /** In whose name; empty: in its own. */
  as: string;
  path: string;
  namespace: string;
  resource: string;
  subresource: string;
  name: string;
  dryRun: boolean;
  code: number;
};

type Line = {
  stage: string;
  verb: string;
  requestURI: string;
  user?: { username?: string };
  impersonatedUser?: { username?: string };
  objectRef?: { namespace?: string; resource?: string; subresource?: string; name?: string };
  responseStatus?: { code?: number };
};

export type Audit = {
  /** Everything from when this was opened until now. */
  requests(): Promise<AuditedRequest[]>;
};

const chunkBytes = 1 << 20;

/**
 * Reads on from here. The log lags behind the server by a fraction of a second, in order: so a request of our own marks
 * where it begins, and where each reading ends.
 */
export async function openAudit(file: string, kube: Kube): Promise<Audit> {
  let offset = statSync(file).size;
  let rest = Buffer.alloc(0);
  let requests: AuditedRequest[] = [];
  const chunk = Buffer.alloc(chunkBytes);

  function readOn(): void {
    const handle = openSync(file, "r");
    for (let count; (count = readSync(handle, chunk, 0, chunkBytes, offset)) > 0; ) {
      offset += count;
      const text = Buffer.concat([rest, chunk.subarray(0, count)]);
      const end = text.lastIndexOf(10) + 1;
      rest = Buffer.from(text.subarray(end));
      for (const line of text.toString("utf8", 0, end).split("\n")) if (line !== "") requests.push(...read(JSON.parse(line) as Line));
    }
    closeSync(handle);
  }

  /** @returns its place among the requests */
  async function mark(): Promise<number> {
    const path = `/version?mark=${randomUUID()}`;
    await kube.get(path);
    await eventually("the mark in the audit log", () => {
      readOn();
      return requests.some((request) => request.path === path);
    });
    return requests.findIndex((request) => request.path === path);
  }

  requests = requests.slice((await mark()) + 1);
  return { requests: async () => requests.slice(0, await mark()) };
}

function read({ stage, verb, requestURI, user, impersonatedUser, objectRef = {}, responseStatus }: Line): AuditedRequest[] {
  if (stage !== "ResponseComplete" && verb !== "watch") return [];
  if (stage === "ResponseStarted") return []; // a watch has one line when it starts and one when it ends
  const { namespace = "", resource = "", subresource = "", name = "" } = objectRef;
  const dryRun = /[?&]dryRun=/.test(requestURI);
  return [{ verb, user: user?.username ?? "", as: impersonatedUser?.username ?? "", path: requestURI, namespace, resource, subresource, name, dryRun, code: responseStatus?.code ?? 0 }];
}

const writing = new Set(["create", "update", "patch", "delete", "deletecollection"]);

/** Whether it changed, or was meant to change, what is stored. */
export const isWrite = ({ verb, dryRun }: AuditedRequest): boolean => writing.has(verb) && !dryRun;
