/**
 * Elected images put into the files that have markers for them (flux.md 3.3), by the parser that Flux has
 * (wasm/setters.go). Every other byte of a file stays, where Flux would lay it out anew.
 */
import { Fault } from "#protocol/errors/fault.ts";
import { callOnce, type OneCallOptions } from "./one-call.ts";
import { readReply } from "./reply.ts";

/** What a policy elected: `name` without tag, `digest` with its algorithm. */
export type ElectedImage = { name: string; tag: string; digest?: string | undefined };

/** One value. The object's fields are empty where the file has none, as of a Kustomization file or of Helm's values. */
export type Change = {
  file: string;
  object: { apiVersion: string; kind: string; namespace: string; name: string };
  /** As in the marker: `namespace:policy`, and `:tag`, `:name` or `:digest` behind it. */
  setter: string;
  oldValue: string;
  newValue: string;
};

/**
 * What led to nothing, for the operator; Flux says nothing of it. `line` is that of the value, or of what
 * the comment is above; absent where it is about the whole file.
 * - unknown: the marker names no policy that was given; `detail` is the setter
 * - malformed: the comment beside a value is no marker that can be read
 * - stray: a marker that is beside no value
 * - noDigest: the policy has no digest, so the value is empty now
 * - unread: a part of the file is not read
 * - unreadable, tooLarge: the file is left alone; `detail` says why
 */
export type SetterNotice = {
  file: string;
  line?: number;
  code: "unknown" | "malformed" | "stray" | "noDigest" | "unread" | "unreadable" | "tooLarge";
  detail: string;
};

/** `files` are those that changed. Changes and notices come in the order of files, and within one from top to bottom. */
export type Updated = { files: Map<string, Uint8Array>; changes: Change[]; notices: SetterNotice[] };

/** Far more than any file that people write. */
const mostBytes = { file: 4 * 1024 * 1024, all: 32 * 1024 * 1024 };

/** Whether a file of this path is looked at. Source: image-automation-controller internal/update/filereader.go */
export const mayHoldMarkers = (path: string): boolean => /\.ya?ml$|(?:^|\/)Kustomization$/.test(path);

/**
 * @param files by path from the repository's root; whatever cannot have a marker is skipped
 * @param policies by `namespace:name`
 * @throws Fault ImageUpdateFailed, RendererMissing; the signal's reason
 */
export async function applySetters(files: ReadonlyMap<string, Uint8Array>, policies: ReadonlyMap<string, ElectedImage>, options: OneCallOptions): Promise<Updated> {
  const texts: Record<string, string> = {};
  const notices: SetterNotice[] = [];
  let bytes = 0;
  for (const [file, content] of files) {
    if (!mayHoldMarkers(file) || !Buffer.from(content.buffer, content.byteOffset, content.byteLength).includes(token)) continue;
    bytes += content.length;
    if (content.length > mostBytes.file) notices.push({ file, code: "tooLarge", detail: `more than ${mostBytes.file} bytes` });
    else if (bytes > mostBytes.all) throw new Fault("ImageUpdateFailed", options.subject, { detail: `the files with markers have more than ${mostBytes.all} bytes` });
    else
      try {
        texts[file] = utf8.decode(content);
      } catch {
        notices.push({ file, code: "unreadable", detail: "it is not UTF-8" });
      }
  }
  if (Object.keys(texts).length === 0) return { files: new Map(), changes: [], notices };
  const request = JSON.stringify({ files: texts, values: valuesOf(policies) });
  const reply = await callOnce({ run: "set", request, what: "a file with markers" }, "ImageUpdateFailed", options);
  const updated = readReply<Reply>(reply, options.subject, () => "ImageUpdateFailed");
  const withoutDigest = updated.changes.filter(({ setter, newValue }) => setter.endsWith(":digest") && newValue === "");
  return {
    files: new Map(Object.entries(updated.files).map(([file, text]) => [file, Buffer.from(text)])),
    changes: updated.changes,
    notices: [...notices, ...updated.notices, ...withoutDigest.map(({ file, setter }) => ({ file, code: "noDigest", detail: setter }) as const)],
  };
}

type Reply = { files: Record<string, string>; changes: Change[]; notices: SetterNotice[] };

const token = '"$imagepolicy"';
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function valuesOf(policies: ReadonlyMap<string, ElectedImage>): Record<string, string> {
  return Object.fromEntries([...policies].flatMap(([policy, { name, tag, digest = "" }]) => [
    [policy, `${name}:${tag}${digest && `@${digest}`}`], [`${policy}:tag`, tag], [`${policy}:name`, name], [`${policy}:digest`, digest],
  ]));
}
