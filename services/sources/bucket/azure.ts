/** Azure Blob Storage (REST: List Blobs, Get Blob), with each kind of credentials that Flux's Secrets hold. */
import { createHmac } from "node:crypto";
import { Fault } from "#protocol/errors/fault.ts";
import type { SecretData } from "#services/clients/registry/credentials.ts";
import { ask, type Answer, type Asking } from "#services/clients/http/ask.ts";
import { encoded, pathOf } from "#services/clients/s3/client.ts";
import { codeIn, find, readXml, textAt } from "#services/clients/http/xml.ts";
import { azureToken } from "./azure-token.ts";
import type { InCloud } from "./bucket.ts";
import type { ObjectStore, Page, StoredObject } from "./object-store.ts";
import { textOf } from "./secret-text.ts";
import { bucketMissing, refusal } from "./refusal.ts";

export type AzureOptions = Asking & { bucket: string; endpoint: URL; secret: SecretData | undefined; inCloud: InCloud };

const pageBytes = 32 * 2 ** 20; // up to 5,000 blobs
const apiVersion = "2023-11-03";

/** Adds to a request what shows who asks. */
type Entrance = (url: URL, headers: Record<string, string>, signal: AbortSignal) => Promise<void>;

export function azureStore({ bucket, endpoint, secret, peer, shown, inCloud }: AzureOptions): ObjectStore {
  const base = `${endpoint.origin}${endpoint.pathname.replace(/\/+$/, "")}/${encoded(bucket)}`;
  const enter = entranceOf({ endpoint, secret, peer, shown, inCloud });
  const send = async (path: string, query: Record<string, string>, conditions: Record<string, string>, maxBytes: number, signal: AbortSignal): Promise<Answer> => {
    const url = new URL(`${base}${path}`);
    for (const [name, value] of [...endpoint.searchParams, ...Object.entries(query)]) url.searchParams.set(name, value);
    const headers = { ...conditions, "x-ms-date": new Date(inCloud.nowMs()).toUTCString(), "x-ms-version": apiVersion };
    await enter(url, headers, signal);
    return ask({ url: url.href, headers }, { peer, shown }, maxBytes, signal);
  };
  const refused = (answer: Answer) => refusal(answer, shown, answer.header("x-ms-error-code") || codeIn(answer.body), bucketMissing(shown));

  return {
    shown,

    async list(prefix, after, signal) {
      const answer = await send("", { restype: "container", comp: "list", ...(prefix && { prefix }), ...(after && { marker: after }) }, {}, pageBytes, signal);
      if (answer.status !== 200) throw refused(answer);
      return readPage(answer.body, shown);
    },

    async read({ key, etag }, maxBytes, signal) {
      const answer = await send(`/${pathOf(key)}`, {}, etag === undefined ? {} : { "if-match": etag }, maxBytes, signal);
      if (answer.status === 412) return undefined;
      if (answer.status === 404 && answer.header("x-ms-error-code") !== "ContainerNotFound") return undefined;
      if (answer.status !== 200) throw refused(answer);
      return { bytes: answer.body, etag: answer.header("etag") };
    },
  };
}

function readPage(body: Buffer, shown: string): Page {
  try {
    const root = readXml(body);
    if (root.name !== "EnumerationResults") throw new RangeError("the answer is no listing");
    const objects = (find(root, "Blobs")?.children ?? []).filter((blob) => blob.name === "Blob" && textAt(blob, "Properties", "ResourceType") !== "directory").map((blob): StoredObject => {
      const name = find(blob, "Name");
      const properties = find(blob, "Properties");
      const key = name?.attributes["Encoded"] === "true" ? decodeURIComponent(name.text) : (name?.text ?? "");
      // As the header of the blob itself has it: Flux's index takes that (source-controller internal/bucket/azure).
      const etag = `"${textAt(properties, "Etag").replace(/^"(.*)"$/, "$1")}"`;
      return { key, etag, sizeBytes: Number(textAt(properties, "Content-Length")), changedAtMs: Date.parse(textAt(properties, "Last-Modified")) };
    });
    const next = textAt(root, "NextMarker");
    return { objects, ...(next && { next }) };
  } catch (error) {
    throw new Fault("UpstreamUnreachable", shown, { detail: `the listing cannot be read: ${error instanceof RangeError ? error.message : "a name is not encoded as it should be"}` });
  }
}

/** In Flux's order: the directory's tokens, the account's key, a shared access signature, the worker's own identity. */
function entranceOf({ endpoint, secret, peer, shown, inCloud }: Omit<AzureOptions, "bucket">): Entrance {
  const held = (key: string) => textOf(secret ?? {}, key);
  const refused = (detail: string) => new Fault("AuthenticationFailed", shown, { detail });
  if (secret && held("clientId") === "") {
    if (held("accountKey")) {
      const [account = "", ...rest] = endpoint.hostname.split(".");
      if (rest.length === 0 || account === "") throw refused("the account cannot be told from spec.endpoint, whose host begins with it");
      return async (url, headers) => { headers["authorization"] = `SharedKey ${account}:${sharedKeySignature(account, held("accountKey"), url, headers)}`; };
    }
    if (held("sasKey")) {
      const signature = new URLSearchParams(held("sasKey").replace(/^\?/, ""));
      return async (url) => { for (const [name, value] of signature) url.searchParams.set(name, value); };
    }
    if (!held("authorityHost")) throw refused("the Secret of spec.secretRef has none of accountKey, sasKey and clientId");
  }
  return async (_, headers, signal) => { headers["authorization"] = `Bearer ${await azureToken({ secret, endpoint, peer, shown, inCloud, signal })}`; };
}

/** The text that is signed, line by line (Azure Storage, Authorize with Shared Key); a GET has most of them empty. */
function sharedKeySignature(account: string, key: string, url: URL, headers: Record<string, string>): string {
  const own = Object.keys(headers).filter((name) => name.startsWith("x-ms-")).sort().map((name) => `${name}:${headers[name]}\n`).join("");
  const names = [...new Set(url.searchParams.keys())].sort();
  const query = names.map((name) => `\n${name.toLowerCase()}:${url.searchParams.getAll(name).sort().join(",")}`).join("");
  const text = `GET${"\n".repeat(9)}${headers["if-match"] ?? ""}${"\n".repeat(4)}${own}/${account}${url.pathname}${query}`;
  return createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
}
