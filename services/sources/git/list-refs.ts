/**
 * Asks a Git server for its references. isomorphic-git can ask too, and searches its whole list for each annotated tag: a
 * hostile server would keep it busy for minutes. Here every line is looked at once, and only what is wanted is kept.
 */
import type { HttpClient } from "isomorphic-git";
import { divider, each, framed, linesOf, none } from "./pkt-line.ts";

export type ServerRef = {
  name: string;
  oid: string;
  /** What an annotated tag points at in the end. */
  peeled?: string;
};

/** `any`: whether the repository has any reference, as far as the answer tells; it does when something was found. */
export type Listing = { refs: ServerRef[]; any: boolean };

const service = "git-upload-pack";
const version2 = { "Git-Protocol": "version=2" };

/**
 * @param prefix of the names that are wanted
 * @throws RangeError when the answer is not in Git's format
 */
export async function listRefs(http: HttpClient, url: string, prefix: string): Promise<Listing> {
  const greeting = await http.request({ url: `${url}/info/refs?service=${service}`, method: "GET", headers: { ...version2 } });
  const lines = linesOf(greeting.body ?? none());
  for (;;) {
    const { value: line, done } = await lines.next();
    if (done) return { refs: [], any: false };
    if (line === "" || line.startsWith("# service=") || line === "version 1") continue;
    return line === "version 2" ? ask(http, url, prefix) : advertised(line, lines, prefix);
  }
}

/** Version 2: the server is asked for what is wanted. */
async function ask(http: HttpClient, url: string, prefix: string): Promise<Listing> {
  const request = ["command=ls-refs\n", "object-format=sha1", divider, "peel\n", ...(prefix ? [`ref-prefix ${prefix}\n`] : [])];
  const body = [Buffer.from(`${request.map(framed).join("")}0000`)];
  const headers = { ...version2, "content-type": `application/x-${service}-request`, accept: `application/x-${service}-result` };
  const answer = await http.request({ url: `${url}/${service}`, method: "POST", headers, body: each(body) });
  const refs: ServerRef[] = [];
  for await (const line of linesOf(answer.body ?? none())) {
    if (line === "") break;
    const [oid = "", name = "", ...attributes] = line.split(" ");
    const peeled = attributes.find((each) => each.startsWith("peeled:"))?.slice("peeled:".length);
    if (name.startsWith(prefix)) refs.push({ name, oid, ...(peeled && { peeled }) });
  }
  return { refs, any: refs.length > 0 };
}

/** Version 0 and 1: the server tells everything. What a tag points at follows it under its name and `^{}`. */
async function advertised(first: string, lines: AsyncIterable<string>, prefix: string): Promise<Listing> {
  const refs: ServerRef[] = [];
  let any = false;
  const take = (line: string) => {
    const [oid = "", name = ""] = (line.split("\0", 1)[0] ?? "").split(" ");
    if (name === "capabilities^{}" || oid === "shallow" || oid === "unshallow") return;
    any = true;
    const last = refs.at(-1);
    if (name.endsWith("^{}")) {
      if (last && name === `${last.name}^{}`) last.peeled = oid;
    } else if (name.startsWith(prefix)) refs.push({ name, oid });
  };
  take(first);
  for await (const line of lines) {
    if (line === "") break;
    take(line);
  }
  return { refs, any };
}
