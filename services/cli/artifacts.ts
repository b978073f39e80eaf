/** Where a worker keeps artifacts, as its options say: in NATS or in S3, and some of them on its own disk. */
import type { NatsConnection } from "nats";
import type { Clouds } from "#services/clients/cloud/identity.ts";
import { ArtifactStore } from "#services/store/artifacts.ts";
import { DiskCache } from "#services/store/artifacts/disk-cache.ts";
import { openNatsVault } from "#services/store/artifacts/nats-vault.ts";
import { S3Vault } from "#services/store/artifacts/s3-vault.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { WorkerSettings } from "./parts.ts";

type Settings = Pick<WorkerSettings, "artifacts" | "artifactCache" | "replicas">;
type Ports = {
  connection: NatsConnection;
  clouds: Clouds;
  log: Pick<Log, "info" | "error">;
  /** Somebody wanted an artifact that is not there, or is damaged; whether anybody is to store it anew. */
  onLost(path: string): Promise<boolean> | undefined;
};

/** A storage that does not answer is no reason not to start: `/readyz` says so until it does. @throws Fault StorageFailed: NATS */
export async function openArtifacts({ artifacts, artifactCache, replicas }: Settings, { connection, clouds, log, onLost }: Ports): Promise<ArtifactStore> {
  const vault = artifacts
    ? new S3Vault({ ...artifacts, credentials: async (region, signal) => (await clouds.as().aws(region, { shown: "--artifacts", signal })).value })
    : await openNatsVault(connection, replicas === undefined ? {} : { replicas });
  const store = new ArtifactStore(vault, {
    ...(artifactCache && { disk: new DiskCache({ ...artifactCache, onTrouble: (detail, thrown) => log.error(detail, thrown) }) }),
    onLost: (path) => void onLost(path)?.then(
      (looks) => looks && log.info("an artifact is not there, or is damaged: its source looks again", { path }),
      () => undefined, // the source's interval finds it too
    ),
  });
  if (artifacts) await store.check().catch((thrown: unknown) => log.error("the artifact store does not work; it is tried again", thrown));
  return store;
}
