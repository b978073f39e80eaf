/** What the module answers: JSON text, of a result or of a failure. */
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { parseJson } from "./json.ts";

/** @param failed what a failure is, by the module's own code for it @throws Fault ArtifactPathMissing, or `failed` */
export function readReply<T extends object>(reply: Uint8Array, subject: string, failed: (code: string) => FaultCode = () => "BuildFailed"): T {
  const parsed = parseJson(new TextDecoder().decode(reply)) as T | { failure: { code: string; message: string } };
  if (!("failure" in parsed)) return parsed;
  const { code, message } = parsed.failure;
  throw code === "path" ? pathMissing(subject) : new Fault(failed(code), subject, { detail: bounded(message) });
}

/** A template can say megabytes, and a schema can name them; a record and a condition have room for less. The cause is often at the end. */
const mostCharacters = { first: 6144, last: 2048 };

function bounded(message: string): string {
  const { first, last } = mostCharacters;
  if (message.length <= first + last) return message;
  return `${message.slice(0, first).toWellFormed()} … ${message.slice(-last).toWellFormed()}`;
}

// The subject is the sentence's beginning in Flux, and operators search for it.
export const pathMissing = (path: string) =>
  new Fault("ArtifactPathMissing", "kustomization path not found", { detail: `${path}: no such directory` });
