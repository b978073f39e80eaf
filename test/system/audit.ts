/** What somebody asked of the API server, from its audit log: the server's own count, not the client's. */
import { closeSync, openSync, readSync, statSync } from "node:fs";

export type AuditedRequest = {
  verb: string;
  user: string;
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
  objectRef?: { namespace?: string; resource?: string; subresource?: string; name?: string };
  responseStatus?: { code?: number };
};

export type Audit = {
  /** Everything since this was opened. Lines appear a fraction of a second after the request: wait for one you know of. */
  requests(): AuditedRequest[];
};

const chunkBytes = 1 << 20;

/** Reads on from the end of the log as it is now. */
export function openAudit(file: string): Audit {
  let offset = statSync(file).size;
  let rest = Buffer.alloc(0);
  const requests: AuditedRequest[] = [];
  const chunk = Buffer.alloc(chunkBytes);
  return {
    requests() {
      const handle = openSync(file, "r");
      for (let count; (count = readSync(handle, chunk, 0, chunkBytes, offset)) > 0; ) {
        offset += count;
        const text = Buffer.concat([rest, chunk.subarray(0, count)]);
        const end = text.lastIndexOf(10) + 1;
        rest = Buffer.from(text.subarray(end));
        for (const line of text.toString("utf8", 0, end).split("\n")) if (line !== "") requests.push(...read(JSON.parse(line) as Line));
      }
      closeSync(handle);
      return requests;
    },
  };
}

function read({ stage, verb, requestURI, user, objectRef = {}, responseStatus }: Line): AuditedRequest[] {
  if (stage !== "ResponseComplete" && verb !== "watch") return [];
  if (stage === "ResponseStarted") return []; // a watch has one line when it starts and one when it ends
  const { namespace = "", resource = "", subresource = "", name = "" } = objectRef;
  const dryRun = /[?&]dryRun=/.test(requestURI);
  return [{ verb, user: user?.username ?? "", path: requestURI, namespace, resource, subresource, name, dryRun, code: responseStatus?.code ?? 0 }];
}

const writing = new Set(["create", "update", "patch", "delete", "deletecollection"]);

/** Whether it changed, or was meant to change, what is stored. */
export const isWrite = ({ verb, dryRun }: AuditedRequest): boolean => writing.has(verb) && !dryRun;
