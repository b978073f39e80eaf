/** What a Secret holds under a key, without the line's end that editors add; empty when it holds nothing. */
import type { SecretData } from "#services/clients/registry/credentials.ts";

export const textOf = (data: SecretData, key: string): string => Buffer.from(data[key] ?? []).toString().trim();
