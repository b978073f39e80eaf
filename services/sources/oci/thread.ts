/** A worker thread that unpacks and archives, so that neither a large nor a hostile layer stalls the worker. */
import { parentPort } from "node:worker_threads";
import { Fault, type FaultData } from "#protocol/errors/fault.ts";
import { repack, type UnpackJob } from "./unpack.ts";

export type Jobs = { repack: { job: UnpackJob; made: Uint8Array<ArrayBuffer> } };

type Answer = { made: Uint8Array<ArrayBuffer> } | { fault: FaultData };

parentPort?.on("message", ({ job }: { job: UnpackJob }) => {
  repack(job).then(
    (made) => answer({ made }, [made.buffer]),
    (error: unknown) => answer({ fault: Fault.from(error, job.shown).toJSON() }, []),
  );
});

const answer = (message: Answer, handedOver: ArrayBuffer[]) => parentPort?.postMessage(message, handedOver);
