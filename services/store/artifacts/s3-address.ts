/** `s3://bucket/prefix?endpoint=https://storage.example&region=eu-west-1`: where artifacts are kept outside of NATS. */

export type S3Address = {
  bucket: string;
  /** Without slashes around it; empty: the whole bucket. */
  prefix: string;
  /** `https://host[:port]`, and http where the operator writes it. */
  origin: string;
  /** As the storage says, when absent. */
  region: string | undefined;
};

/** @throws RangeError in words for whoever wrote it */
export function readS3Address(text: string): S3Address {
  if (!URL.canParse(text)) throw new RangeError(`not an address: ${text}`);
  const { protocol, username, password, hostname, port, pathname, searchParams, hash } = new URL(text);
  if (username || password) throw new RangeError("credentials do not belong there: give them in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), a file, or as an identity in the cloud");
  if (protocol !== "s3:") throw new RangeError(`not s3://BUCKET/PREFIX: ${text}`);
  if (port || hash || !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(hostname)) throw new RangeError(`not the name of a bucket: ${text.slice(0, 200)}`);
  const prefix = decodeURIComponent(pathname).replaceAll(/^\/+|\/+$/g, "");
  if (!/^(?:[\w!.*'()-]+(?:\/[\w!.*'()-]+)*)?$/.test(prefix) || prefix.split("/").some((part) => /^\.+$/.test(part))) throw new RangeError(`not a prefix for keys: ${prefix}`);
  for (const name of searchParams.keys()) if (name !== "endpoint" && name !== "region") throw new RangeError(`${name}: there are endpoint and region`);
  const region = searchParams.get("region") ?? undefined;
  if (region !== undefined && !/^[a-z0-9-]{1,40}$/.test(region)) throw new RangeError(`not a region: ${region}`);
  return { bucket: hostname, prefix, origin: originOf(searchParams.get("endpoint"), region), region };
}

function originOf(endpoint: string | null, region: string | undefined): string {
  if (endpoint === null) return `https://s3.${region ? `${region}.` : ""}amazonaws.com${region?.startsWith("cn-") ? ".cn" : ""}`;
  const text = /^https?:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`;
  if (!URL.canParse(text)) throw new RangeError(`endpoint: not an address: ${endpoint}`);
  const url = new URL(text);
  if (url.username || url.password || url.pathname !== "/" || url.search) throw new RangeError("endpoint: a host, with its port where that is another than usual");
  return url.origin;
}
