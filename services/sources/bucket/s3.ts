/** Amazon S3, and whatever speaks its API (Amazon S3, API reference: ListObjectsV2, GetObject). */
import { Fault } from "#protocol/errors/fault.ts";
import type { Answer } from "#services/clients/http/ask.ts";
import { codeIn } from "#services/clients/http/xml.ts";
import { bare, S3Client, type S3Options } from "#services/clients/s3/client.ts";
import type { ObjectStore, Page } from "./object-store.ts";
import { bucketMissing, refusal } from "./refusal.ts";

export function s3Store(options: S3Options): ObjectStore {
  const { shown } = options;
  const client = new S3Client(options);
  const refused = (answer: Answer) => refusal(answer, shown, codeIn(answer.body), bucketMissing(shown));

  return {
    shown,

    async list(prefix, after, signal): Promise<Page> {
      const page = await client.list(prefix, after, signal).catch((error: unknown) => {
        if (!(error instanceof RangeError)) throw error;
        throw new Fault("UpstreamUnreachable", shown, { detail: `the listing cannot be read: ${error.message}` });
      });
      if ("refused" in page) throw refused(page.refused);
      return page;
    },

    async read({ key, etag }, maxBytes, signal) {
      const answer = await client.send({ key, headers: etag === undefined ? {} : { "if-match": `"${etag}"` }, maxBytes, signal });
      if (answer.status === 412) return undefined;
      if (answer.status === 404 && codeIn(answer.body) !== "NoSuchBucket") return undefined;
      if (answer.status !== 200) throw refused(answer);
      return { bytes: answer.body, etag: bare(answer.header("etag")) };
    },
  };
}
