/** A worker thread that fetches and archives, so that neither a large nor a hostile repository stalls the worker. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { showUrl } from "./address.ts";
import { snapshot, type Snapshot, type SnapshotJob } from "./snapshot.ts";

export type ThreadAnswer = { snapshot: Snapshot } | { fault: FaultData };

parentPort?.on("message", (job: SnapshotJob) => {
  snapshot(job)
    .then((made) => answer({ snapshot: made }, [made.archive.buffer]))
    .catch((error: unknown) => answer({ fault: Fault.from(error, showUrl(job.url)).toJSON() }, []));
});

const answer = (message: ThreadAnswer, handedOver: ArrayBuffer[]) => parentPort?.postMessage(message, handedOver);
