/** What a source offers for download: the contract between a source and whoever consumes it (flux.md 2.0). */
import { z } from "zod";
import { int64, stringMap, timestamp } from "./schema.ts";

export const artifact = z.object({
  url: z.string().describe("Where it can be downloaded."),
  path: z.string().describe("Where it lies within the artifact store."),
  revision: z.string().describe("What it was made of, such as `main@sha1:` and the commit. Compared as plain text."),
  digest: z
    .string()
    .regex(/^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/)
    .describe("Algorithm and checksum of the file, such as `sha256:` and 64 hexadecimal digits."),
  lastUpdateTime: timestamp().describe("When it was stored."),
  size: int64().optional().describe("Size of the file in bytes."),
  metadata: stringMap().optional().describe("Annotations taken over from upstream."),
});

