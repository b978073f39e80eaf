/** A worker thread for what a stranger's bytes are made into: indexes and packages, however large or hostile. */
import { Fault } from "#protocol/errors/fault.ts";
import { answerJobs } from "#services/threads/answer.ts";
import { build, fileOf, inspect, type BuildJob, type Built, type InspectJob, type Inspected } from "./chart/build.ts";
import type { Limits } from "./limits.ts";
import { indexAsJson, versionsOf, type ChartVersion } from "./index-file.ts";

export type Jobs = {
  /** index.yaml to what is published of it. */
  index: { job: { bytes: Uint8Array; shown: string }; made: Uint8Array<ArrayBuffer> };
  /** A chart's versions, of an index as it is published. `digest` names it: the last one is kept. */
  versions: { job: { index: Uint8Array; digest: string; name: string; shown: string }; made: ChartVersion[] };
  inspect: { job: InspectJob; made: Inspected };
  build: { job: BuildJob; made: Built };
  /** A package that lies in the artifact of another source, as it is. */
  file: { job: { bytes: Uint8Array; path: string; limits: Limits; shown: string }; made: Uint8Array<ArrayBuffer> };
};

let last: { digest: string; index: unknown } | undefined;

const work: { [Kind in keyof Jobs]: (job: Jobs[Kind]["job"]) => Jobs[Kind]["made"] | Promise<Jobs[Kind]["made"]> } = {
  index: ({ bytes, shown }) => {
    const text = refusing("IndexInvalid", shown, () => indexAsJson(Buffer.from(bytes).toString()));
    return new Uint8Array(Buffer.from(text));
  },
  versions: ({ index, digest, name, shown }) => {
    if (last?.digest !== digest) last = { digest, index: refusing("IndexInvalid", shown, () => JSON.parse(Buffer.from(index).toString()) as unknown) };
    const { index: found } = last;
    return refusing("ChartReferenceInvalid", shown, () => versionsOf(found, name));
  },
  inspect,
  build,
  file: ({ bytes, path, limits, shown }) => fileOf(bytes, path, limits, shown),
};

function refusing<T>(code: "IndexInvalid" | "ChartReferenceInvalid", shown: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new Fault(code, shown, { detail: error instanceof RangeError ? error.message : "it cannot be read", cause: error });
  }
}

/** What is made is not needed here any more. */
const bytesIn = (made: Jobs[keyof Jobs]["made"]): ArrayBuffer[] =>
  (made instanceof Uint8Array ? [made.buffer] : "archive" in made ? [made.archive.buffer] : []);

answerJobs<Jobs>(work, { subjectOf: ({ shown }) => shown, handOver: bytesIn });
