/** Artifacts under Flux's addresses: `/<kind>/<namespace>/<name>/<file>` (flux.md 2.0, 1 and 2). */
import type { Handler } from "hono";
import { Refusal } from "./refusal.ts";

export type OpenedArtifact = {
  body: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>;
  sizeBytes: number;
  /** `sha256:<hex>` */
  digest: string;
};

/** @param path `<kind>/<namespace>/<name>/<file>`, checked: no part of it can leave its folder */
export type OpenArtifact = (path: string) => Promise<OpenedArtifact | undefined>;

const parts = {
  // The tags of an image are no artifact that anybody is to download: its registry may show them to some alone.
  kind: /^(?!image)[a-z]{1,63}$/,
  namespace: /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
  name: /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/,
  // A colon occurs in `sha256:<hex>.tar.gz`, "+" in chart versions. Two dots in a row occur in no file name of ours.
  file: /^(?!.*\.\.)[A-Za-z0-9][\w.:+-]{0,254}$/,
};

export const artifactRoute =
  (open: OpenArtifact): Handler =>
  async (c) => {
    const { kind = "", namespace = "", name = "", file = "" } = c.req.param() as Record<string, string>;
    const named =
      parts.kind.test(kind) &&
      parts.namespace.test(namespace) &&
      parts.name.test(name) &&
      !name.includes("..") &&
      parts.file.test(file);
    const artifact = named ? await open(`${kind}/${namespace}/${name}/${file}`) : undefined;
    if (!artifact)
      throw new Refusal(404, "NotFound", "no such artifact; the source publishes its address in status.artifact.url");

    const etag = `"${artifact.digest}"`;
    const unchanged = (c.req.header("if-none-match") ?? "")
      .split(",")
      .some((tag) => tag.trim().replace(/^W\//, "") === etag);
    const headers = { etag, "content-type": contentType(file), "x-content-type-options": "nosniff" };
    if (c.req.method === "HEAD" || unchanged) {
      if (artifact.body instanceof ReadableStream) await artifact.body.cancel();
      return unchanged
        ? new Response(null, { status: 304, headers })
        : new Response(null, { headers: { ...headers, ...lengthOf(artifact) } });
    }
    return new Response(artifact.body, { headers: { ...headers, ...lengthOf(artifact) } });
  };

const lengthOf = ({ sizeBytes }: OpenedArtifact) => ({ "content-length": String(sizeBytes) });

const contentType = (file: string) => (/\.(tar\.gz|tgz)$/.test(file) ? "application/gzip" : "application/octet-stream");
