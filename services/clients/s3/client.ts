/** Amazon S3, and whatever speaks its API: where a bucket lies, and who asks. What is asked for is the caller's. */
import { LRUCache } from "lru-cache";
import { signed, type AwsCredentials } from "../aws/signature.ts";
import { ask, open, type Answer, type Asking, type OpenAnswer, type Question } from "../http/ask.ts";
import { readXml, textAt, type Element } from "../http/xml.ts";

export type S3Options = Asking & {
  bucket: string;
  /** `https://host[:port]` */
  origin: string;
  region: string | undefined;
  /** Who asks, looked at for each question; undefined: nobody. */
  credentials(region: string): AwsCredentials | undefined | Promise<AwsCredentials | undefined>;
  nowMs(): number;
};

export type S3Question = Pick<Question, "method" | "before"> & {
  /** Below the bucket; the bucket itself when absent. */
  key?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** What is sent, with its digest in hex. */
  contents?: { bytes: Uint8Array; sha256: string };
  maxBytes: number;
  signal: AbortSignal;
};

const sha256OfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export type S3Object = { key: string; etag: string; sizeBytes: number; changedAtMs: number };

const pageBytes = 16 * 2 ** 20;

/** Where a bucket was found to lie, by its address. */
const regions = new LRUCache<string, string>({ max: 10_000 });

export class S3Client {
  private readonly options: S3Options;

  constructor(options: S3Options) {
    this.options = options;
  }

  /** @throws as `ask` of clients/http */
  async send(question: S3Question): Promise<Answer> {
    const { peer, shown } = this.options;
    const once = async () => ask(await this.signed(question), { peer, shown }, question.maxBytes, question.signal);
    const answer = await once();
    return (await this.movedTo(answer)) ? once() : answer;
  }

  /** An answer that is read as it comes. */
  async open(question: S3Question): Promise<OpenAnswer> {
    return open(await this.signed(question), this.options, question.maxBytes, question.signal);
  }

  /** A page of what lies under a prefix; the answer itself when it is no success. @throws RangeError for what is no listing */
  async list(prefix: string, after: string | undefined, signal: AbortSignal): Promise<{ refused: Answer } | { objects: S3Object[]; next?: string }> {
    const query = { "list-type": "2", "encoding-type": "url", "max-keys": "1000", ...(prefix && { prefix }), ...(after && { "continuation-token": after }) };
    const answer = await this.send({ query, maxBytes: pageBytes, signal });
    return answer.status === 200 ? readPage(answer.body) : { refused: answer };
  }

  private async signed({ method = "GET", key, query = {}, headers = {}, contents, before }: S3Question): Promise<Question> {
    const { origin, bucket, credentials, nowMs } = this.options;
    const region = this.regionNow();
    const text = Object.entries(query).map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&");
    const url = `${baseOf(origin, bucket, region)}${key === undefined ? "" : `/${pathOf(key)}`}${text && `?${text}`}`;
    const asks = await credentials(region);
    const sent = { ...(contents && { body: contents.bytes }), ...(before && { before }) };
    if (!asks) return { method, url, headers, ...sent };
    const { sha256: bodySha256 = sha256OfNothing } = contents ?? {};
    const { host: _, ...shown } = signed({ method, url, headers: { ...headers, "x-amz-content-sha256": bodySha256 }, body: "", bodySha256 }, asks, { service: "s3", region }, nowMs()).headers;
    return { method, url, headers: shown, ...sent };
  }

  private regionNow(): string {
    const { region, origin } = this.options;
    return region || regions.get(this.place()) || regionOf(new URL(origin).hostname) || "us-east-1";
  }

  /** It lies elsewhere: said once, then known. */
  private movedTo(answer: Answer): boolean {
    const other = answer.status >= 300 && answer.status < 500 ? elsewhere(answer) : "";
    if (this.options.region || other === "" || other === this.regionNow()) return false;
    regions.set(this.place(), other);
    return true;
  }

  private place = (): string => `${this.options.origin}/${this.options.bucket}`;
}

function readPage(body: Buffer): { objects: S3Object[]; next?: string } {
  const root = readXml(body);
  if (root.name !== "ListBucketResult") throw new RangeError("the answer is no listing");
  const isEncoded = textAt(root, "EncodingType") === "url";
  const objects = root.children.filter(({ name }) => name === "Contents").map((entry): S3Object => ({
    key: keyOf(entry, isEncoded),
    etag: bare(textAt(entry, "ETag")),
    sizeBytes: Number(textAt(entry, "Size")),
    changedAtMs: Date.parse(textAt(entry, "LastModified")),
  }));
  const next = textAt(root, "IsTruncated") === "true" ? textAt(root, "NextContinuationToken") : "";
  return { objects, ...(next && { next }) };
}

function keyOf(entry: Element, isEncoded: boolean): string {
  const key = textAt(entry, "Key");
  try {
    return isEncoded ? decodeURIComponent(key.replaceAll("+", " ")) : key;
  } catch {
    throw new RangeError("a key is not encoded as it should be");
  }
}

export const bare = (etag: string): string => etag.replace(/^"(.*)"$/, "$1");

/** `s3.eu-west-1.amazonaws.com` and its kin. */
export const regionOf = (host: string): string => /^(?:.*\.)?s3[.-](?:fips[.-])?(?:dualstack\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?$/.exec(host)?.[1] ?? "";

/** The region in which a bucket of that name lies, as its answer says. */
function elsewhere(answer: Answer): string {
  const named = answer.header("x-amz-bucket-region") || regionIn(answer.body);
  return /^[a-z0-9-]{1,40}$/.test(named) ? named : "";
}

function regionIn(body: Buffer): string {
  try {
    return textAt(readXml(body), "Region");
  } catch {
    return "";
  }
}

/**
 * Where the bucket's objects lie: below its own host where the clouds want that, else below its name (minio-go,
 * BucketLookupAuto).
 */
function baseOf(origin: string, bucket: string, region: string): string {
  const url = new URL(origin);
  const isAmazon = /(?:^|\.)amazonaws\.com(?:\.cn)?$/.test(url.hostname);
  if (url.hostname === "s3.amazonaws.com" && region !== "us-east-1") url.hostname = `s3.${region}.amazonaws.com`;
  const ownHost = isAmazon || url.hostname === "storage.googleapis.com" || url.hostname.endsWith(".aliyuncs.com");
  const isHostName = /^[a-z0-9][a-z0-9-]+[a-z0-9]$/.test(bucket);
  return ownHost && isHostName ? `${url.protocol}//${bucket}.${url.host}` : `${url.protocol}//${url.host}/${encoded(bucket)}`;
}

/** The part of a URL's path that means this key: each part encoded, whatever it holds. */
export const pathOf = (key: string): string => key.split("/").map(encoded).join("/");

/** As RFC 3986 and the signatures of the clouds want it: encodeURIComponent leaves five characters more. */
export const encoded = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
