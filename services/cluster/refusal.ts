/** The server's refusals as faults: which object, why, and never a word of a Secret's contents. */
import { displayName, groupOf, objectIdOf, type KubeObject } from "#machines/rules/inventory.ts";
import { Fault, type FaultCode } from "#protocol/errors/fault.ts";
import { KubeError } from "#services/clients/kubernetes/error.ts";

/** `dry-run failed` or `apply failed`, as Flux words it. */
export type Step = "dry-run" | "apply" | "delete";

/** Whatever was thrown, as a fault about this object. */
export function refusalOf(error: unknown, object: KubeObject, step: Step, isDecrypted = false): Fault {
  if (error instanceof Fault) return error.code === "KindUnknown" || error.code === "ObjectInvalid" ? about(error, object) : error;
  const subject = displayName(objectIdOf(object));
  if (!(error instanceof KubeError)) return Fault.from(error, subject);
  const isHidden = isDecrypted || isSecret(object);
  const message = isSecret(object) ? masked(error, object) : isDecrypted ? withoutWords(error, object.kind) : error.message;
  if (error.code === 404) return notFound(error, object, message);
  const reason = error.reason ? ` (${error.reason})` : "";
  // An error's cause is printed by loggers: it must not carry what its message hides.
  return new Fault(codeOf(error), subject, { detail: `${step} failed${reason}: ${message}`, ...(!isHidden && { cause: error }) });
}

const about = (fault: Fault, object: KubeObject) =>
  new Fault(fault.code, displayName(objectIdOf(object)), { detail: fault.detail, cause: fault });

function notFound(error: KubeError, object: KubeObject, message: string): Fault {
  const code = error.details.kind === "namespaces" ? "NamespaceMissing" : "ApplyFailed";
  return new Fault(code, displayName(objectIdOf(object)), { detail: `not found: ${message}`, cause: error });
}

function codeOf(error: KubeError): FaultCode {
  if (isImmutable(error)) return "ObjectImmutable";
  switch (error.code) {
    case 400: case 422: return "ObjectInvalid";
    case 401: return "ClusterUnreachable";
    // A namespace on its way out forbids too, but no role helps against that.
    case 403: return error.causes.some(({ reason }) => reason === "NamespaceTerminating") ? "ApplyFailed" : "ObjectForbidden";
    case 409: return "ApplyConflict";
    // An apply that does not fit the schema fails like a bug of the server.
    case 500: return error.reason === "" ? "ObjectInvalid" : "ApplyFailed";
    default: return "ApplyFailed";
  }
}

/** The words of built-in validation, of CEL rules and of webhooks (fluxcd/pkg ssa/errors/immutable.go). */
export const isImmutable = (error: KubeError): boolean =>
  (error.code === 422 || error.code === 400 || error.code === 403 || error.code === 500) &&
  /is\simmutable|immutable\sfield/.test(error.message);

export const isSecret = ({ apiVersion, kind }: Pick<KubeObject, "apiVersion" | "kind">): boolean =>
  kind === "Secret" && groupOf(apiVersion) === "";

/** The server quotes the value it refuses: of a Secret only the names of fields are passed on. */
function masked(error: KubeError, object: KubeObject): string {
  if (error.code !== 400 && error.code !== 422 && error.code !== 500) return hideValues(error.message, object);
  return hideValues(withoutWords(error, "Secret"), object);
}

/** Which fields, and nothing of what stands in them. */
function withoutWords(error: KubeError, kind: string): string {
  const typed = /(\.[\w.[\]-]+: (?:expected \w+|field not declared in schema))/.exec(error.message)?.[1];
  const fields = [...error.causes.map(({ field, reason }) => [field, reason].filter(Boolean).join(": ")), typed].filter(Boolean);
  const message = fields.length > 0 ? `the server refused ${fields.join(", ")}` : `the server refused the ${kind}`;
  return `${message}; its words are withheld, as they may quote the data`;
}

function hideValues(message: string, object: KubeObject): string {
  let hidden = message;
  for (const field of ["data", "stringData"])
    for (const value of Object.values((object[field] ?? {}) as Record<string, unknown>)) {
      if (typeof value !== "string" || value.length < 4) continue; // shorter ones would blank out the sentence itself
      const decoded = Buffer.from(value, "base64").toString("utf8");
      for (const secret of [value, decoded, decoded.trim()]) if (secret.length >= 4) hidden = hidden.replaceAll(secret, "***");
    }
  return hidden;
}
