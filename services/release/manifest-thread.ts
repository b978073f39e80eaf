/** A thread that reads manifests. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { parseManifest, type ManifestJobs } from "./manifest.ts";

type Answer = { made: ManifestJobs["parse"]["made"] } | { fault: FaultData };

function answer({ text, subject }: ManifestJobs["parse"]["job"]): Answer {
  try {
    return { made: JSON.stringify(parseManifest(text, subject)) };
  } catch (thrown) {
    return { fault: Fault.from(thrown, subject).toJSON() };
  }
}

parentPort?.on("message", ({ job }: { job: ManifestJobs["parse"]["job"] }) => parentPort?.postMessage(answer(job), []));
