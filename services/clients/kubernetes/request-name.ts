/** What a request is about, in the words metrics use: few values, no names of objects. */
import type { KubeRequest } from "./client.ts";

const verbs = { POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" } as const;

export function describeRequest({ method, path, query, contentType }: Pick<KubeRequest, "method" | "path" | "query" | "contentType">): {
  verb: string;
  resource: string;
} {
  const { resource, named } = readPath(path);
  if (method === "GET") return { verb: query?.["watch"] ? "watch" : named ? "get" : "list", resource };
  if (method === "PATCH" && contentType?.startsWith("application/apply-patch")) return { verb: query?.["dryRun"] ? "dry-run" : "apply", resource };
  return { verb: verbs[method], resource };
}

/** `/apis/<group>/<version>[/namespaces/<ns>]/<resource>[/<name>[/<subresource>]]`, or `/api/<version>/…`. */
function readPath(path: string): { resource: string; named: boolean } {
  const parts = path.split("/").filter(Boolean);
  const rest = parts.slice(parts[0] === "api" ? 2 : 3);
  if ((parts[0] !== "api" && parts[0] !== "apis") || rest.length === 0) return { resource: "discovery", named: true };
  // A namespace is itself an object: `/api/v1/namespaces/<name>`.
  const scoped = rest[0] === "namespaces" && rest.length > 2 && rest[2] !== "status" && rest[2] !== "finalize" ? rest.slice(2) : rest;
  const [resource = "", name, subresource] = scoped;
  return { resource: subresource ? `${resource}/${subresource}` : resource, named: name !== undefined };
}
