import { hash } from "node:crypto";

/** More than this takes longer than anybody should wait for: about a millisecond. */
const shortBytes = 1024 * 1024;

/** `sha256:<hex>` of the bytes; of many beside the main thread. */
export async function digestOf(bytes: Uint8Array): Promise<string> {
  if (bytes.byteLength <= shortBytes) return `sha256:${hash("sha256", bytes)}`;
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return `sha256:${Buffer.from(digest).toString("hex")}`;
}
