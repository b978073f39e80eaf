/** Pushes to a Git server (git: Documentation/gitprotocol-pack, "Pushing Data To a Server"), over HTTP or SSH. */
import { Fault } from "#protocol/errors/fault.ts";
import { throwIfAborted } from "#services/clients/http/failure.ts";
import { saidBy } from "../answers.ts";
import { gitClient, type GitClient } from "../git-client.ts";
import { each, framed, lengthOf, linesOf, none } from "../pkt-line.ts";
import { isObjectId } from "../reference.ts";
import { gitFault } from "../repository.ts";
import type { Remote } from "../transport.ts";

/** A reference that is to move; `from` null: it is not there yet. The server refuses it when it stands elsewhere by then. */
export type Move = { ref: string; from: string | null; to: string };

export type Push = {
  moves: Move[];
  /** Each a line. */
  options: string[];
  pack: Uint8Array;
};

/** What the server did not do, and its words. */
export type Refusal = { ref: string; why: string };

export type Receiver = {
  /** Where each of the server's references stands. */
  heads: ReadonlyMap<string, string>;
  /** Once. @throws Fault PushRejected when nothing of it was taken; whatever went wrong on the way: then it may have been taken or not */
  push(push: Push): Promise<Refusal[]>;
  close(): void;
};

const service = "git-receive-pack";
/** References are short lines, and so is what a server answers. */
const mostBytes = 64 * 2 ** 20;
const longestRemark = 400;
const nowhere = "0".repeat(40);

/** @throws Fault */
export async function openReceiver(remote: Remote, signal: AbortSignal): Promise<Receiver> {
  const client = gitClient(remote, { signal, maxBytes: mostBytes, service });
  const orFault = (error: unknown): never => {
    client.close();
    throwIfAborted(signal, remote.address.shown);
    throw gitFault(error, remote);
  };
  const { heads, capabilities } = await greeted(client, remote).catch(orFault);
  return {
    heads,
    push: (push) => pushed(client, remote, capabilities, push).catch(orFault).finally(() => client.close()),
    close: () => client.close(),
  };
}

async function greeted(client: GitClient, remote: Remote): Promise<{ heads: Map<string, string>; capabilities: Set<string> }> {
  const greeting = await client.request({ url: `${String(remote.address.base)}/info/refs?service=${service}`, method: "GET" });
  const heads = new Map<string, string>();
  let capabilities: Set<string> | undefined;
  for await (const line of linesOf(greeting.body ?? none())) {
    if (line === "" || line.startsWith("# service=") || line === "version 1") continue;
    const [reference = "", offered = ""] = line.split("\0", 2);
    capabilities ??= new Set(offered.split(" "));
    const [oid = "", name = ""] = reference.split(" ");
    if (isObjectId(oid) && name !== "capabilities^{}") heads.set(name, oid);
  }
  if (!capabilities?.has("report-status")) throw new Fault("UpstreamUnreachable", remote.address.shown, { detail: "the server takes no pushes" });
  return { heads, capabilities };
}

async function pushed(client: GitClient, remote: Remote, offered: Set<string>, { moves, options, pack }: Push): Promise<Refusal[]> {
  if (options.length > 0 && !offered.has("push-options"))
    throw rejected(remote, "the server takes no push options; take spec.git.push.options away, or set receive.advertisePushOptions there");
  // All or nothing, where the server can do it.
  const wanted = ["report-status", "side-band-64k", "object-format=sha1", ...(moves.length > 1 ? ["atomic"] : []), ...(options.length > 0 ? ["push-options"] : [])].filter((each) => offered.has(each));
  const commands = moves.map(({ ref, from, to }, i) => framed(`${from ?? nowhere} ${to} ${ref}${i === 0 ? `\0 ${wanted.join(" ")} agent=git/flotilla` : ""}`));
  const head = Buffer.from(`${commands.join("")}0000${options.length > 0 ? `${options.map(framed).join("")}0000` : ""}`);
  const headers = { "content-type": `application/x-${service}-request`, accept: `application/x-${service}-result` };
  const answer = await client.request({ url: `${String(remote.address.base)}/${service}`, method: "POST", headers, body: each([head, pack]) });
  const bytes = Buffer.concat(await Array.fromAsync(answer.body ?? none()));
  const { report, remarks } = wanted.includes("side-band-64k") ? unbanded(bytes) : { report: bytes, remarks: "" };
  return refusalsIn(report, remarks, moves, remote);
}

/** The server's three voices: 1 the report, 2 what it and its hooks say, 3 its last word. */
function unbanded(bytes: Buffer): { report: Buffer; remarks: string } {
  const report: Buffer[] = [];
  let remarks = "";
  for (const line of framesIn(bytes)) {
    const rest = line.subarray(1);
    if (line[0] === 1) report.push(rest);
    else if (remarks.length < 4096) remarks += rest.toString("utf8", 0, 4096);
  }
  return { report: Buffer.concat(report), remarks };
}

function refusalsIn(report: Buffer, remarks: string, moves: Move[], remote: Remote): Refusal[] {
  const lines = framesIn(report).map((line) => line.toString("utf8").trimEnd());
  const words = saidBy(remote, remarks.replaceAll(/^remote: */gm, ""), longestRemark);
  const withWords = (why: string) => (words ? `${why}; the server says: ${words}` : why);
  const unpacked = lines.find((line) => line.startsWith("unpack "))?.slice("unpack ".length);
  if (unpacked === undefined) throw new Fault("UpstreamUnreachable", remote.address.shown, { detail: withWords("the server did not say what became of the push") });
  const refused = moves.flatMap(({ ref }): Refusal[] => {
    if (unpacked === "ok" && lines.includes(`ok ${ref}`)) return [];
    const no = lines.find((line) => line.startsWith(`ng ${ref} `))?.slice(`ng ${ref} `.length);
    return [{ ref, why: saidBy(remote, no ?? (unpacked === "ok" ? "the server says nothing of it" : unpacked)) }];
  });
  const [first] = refused;
  if (first && refused.length === moves.length) throw rejected(remote, withWords(`${first.ref} was refused: ${first.why}`));
  return refused.map(({ ref, why }) => ({ ref, why: withWords(why) }));
}

const rejected = ({ address: { shown } }: Remote, detail: string) => new Fault("PushRejected", shown, { detail });

/** Whole lines without their length; ends between sections are left out. @throws RangeError when one is cut off */
function framesIn(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOf(bytes.toString("latin1", at, at + 4));
    if (at + length > bytes.length) throw new RangeError("the answer breaks off within a line");
    if (length > 4) found.push(bytes.subarray(at + 4, at + length));
    at += Math.max(length, 4);
  }
  return found;
}
