/** A worker thread in which patterns meet tags: both may be hostile, and of the latter there may be a hundred thousand. */
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { Fault } from "#protocol/errors/fault.ts";
import { answerJobs } from "#services/threads/answer.ts";
import { electTag, type ElectionSpec } from "./policy.ts";
import { keptTags, summaryOf, type ScanSummary } from "./tags.ts";

/** What is kept of a scan. */
type Kept = { image: string; tags: string[] };

export type KeepJob = Kept & { exclusionList: readonly string[]; shown: string };
export type ElectJob = { kept: Uint8Array; spec: ElectionSpec; shown: string };

export type Jobs = {
  /** `kept`: what `elect` reads; the same for the same tags of the same image. */
  keep: { job: KeepJob; made: ScanSummary & { kept: Uint8Array<ArrayBuffer> } };
  elect: { job: ElectJob; made: { image: string; tag: string } };
};

/** A hundred thousand tags are far less. */
const mostBytes = 32 * 2 ** 20;

const jobs: { [Kind in keyof Jobs]: (job: Jobs[Kind]["job"]) => Promise<Jobs[Kind]["made"]> } = {
  async keep({ image, tags, exclusionList, shown }) {
    const kept = keptTags(tags, exclusionList, shown);
    return { ...summaryOf(kept), kept: new Uint8Array(await promisify(gzip)(JSON.stringify({ image, tags: kept } satisfies Kept))) };
  },
  async elect({ kept, spec, shown }) {
    const { image, tags } = JSON.parse(String(await promisify(gunzip)(kept, { maxOutputLength: mostBytes }))) as Kept;
    if (tags.length === 0) throw new Fault("ImageTagsMissing", shown, { detail: "no tags in database" });
    return { image, tag: electTag(tags, spec, shown) };
  },
};

answerJobs<Jobs>(jobs, { subjectOf: ({ shown }) => shown });
