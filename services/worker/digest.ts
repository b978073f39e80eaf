import { hash } from "node:crypto";

/** `sha256:<hex>` of the bytes. */
export const digestOf = (bytes: Uint8Array): string => `sha256:${hash("sha256", bytes)}`;
