/** What a Git server sends in place of an answer: half of one, or its reasons. */
import { Fault } from "#protocol/errors/fault.ts";
import type { Remote } from "./transport.ts";

/** isomorphic-git takes a list that breaks off for a short one. All of Git's lists end in a line of length zero. */
export function checkWhole(remote: Remote, chunks: Uint8Array[]): void {
  checkError(remote, chunks);
  const end = Buffer.concat(chunks.slice(-4)).subarray(-4).toString("latin1");
  if (end !== "0000")
    throw new Fault("UpstreamUnreachable", remote.address.shown, { detail: "the answer breaks off, or is not Git's" });
}

/** A server may answer with its reason instead. */
export function checkError(remote: Remote, chunks: Uint8Array[]): void {
  const start = Buffer.concat(chunks.slice(0, 4)).toString("utf8", 0, 1024);
  const [, said] = /^[0-9a-f]{4}ERR ([^\n]*)/i.exec(start) ?? [];
  if (said !== undefined) throw serverError(remote, said);
}

export function serverError(remote: Remote, text: string): Fault {
  const said = saidBy(remote, text);
  const code = /not our ref|unadvertised object/.test(said) ? "ReferenceMissing" : "UpstreamUnreachable";
  return new Fault(code, remote.address.shown, { detail: `the server says: ${said}` });
}

/** What the server says, in one line of plain text and without credentials. */
export const saidBy = ({ credentials }: Remote, text: string, mostCharacters = 200): string =>
  credentials.redact(text.replaceAll(/[^\x20-\x7e]+/g, " ").trim()).slice(0, mostCharacters);
