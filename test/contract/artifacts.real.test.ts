/** The cases of artifact-cases.ts on a nats-server and on a storage that speaks S3. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "nats";
import { closeConnections } from "#services/clients/http/connections.ts";
import { openNatsVault } from "#services/store/artifacts/nats-vault.ts";
import { S3Vault } from "#services/store/artifacts/s3-vault.ts";
import type { Entry } from "#services/store/artifacts/vault.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { startS3, type LocalS3 } from "../../deploy/local/s3-server.ts";
import { scratchFolder } from "../kit/cluster.ts";
import { artifactCases, type ArtifactStage } from "./artifact-cases.ts";

describe("artifacts in NATS", () => {
  let server: Nats;
  let connection: NatsConnection;
  before(async () => {
    server = await startNats({ dir: scratchFolder() });
    connection = await connect({ servers: server.url, token: server.token, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  });
  after(async () => {
    await connection.close();
    await server.stop();
  });

  /** The message with the first bytes, which goes. */
  async function withoutFirst(entry: Entry): Promise<{ subject: string; sizeBytes: number }> {
    const manager = await jetstreamManager(connection);
    const { nuid } = (entry as Entry & { info: { nuid: string } }).info;
    const subject = `$O.fl-artifacts.C.${nuid}`;
    const first = (await manager.direct.getMessage("OBJ_fl-artifacts", { seq: 1, next_by_subj: subject })) ?? assert.fail("no bytes");
    await manager.streams.deleteMessage("OBJ_fl-artifacts", first.seq);
    return { subject, sizeBytes: first.data.length };
  }

  const stage: ArtifactStage = {
    vault: () => openNatsVault(connection, { timeoutMs: 1_000 }),
    async damage(entry) {
      const { subject, sizeBytes } = await withoutFirst(entry);
      await connection.request(subject, randomBytes(sizeBytes));
    },
    lose: async (entry) => void (await withoutFirst(entry)),
    async silence() {
      process.kill(server.pid, "SIGSTOP");
      return async () => void process.kill(server.pid, "SIGCONT");
    },
  };
  for (const { title, run } of artifactCases) test(`${title} (NATS)`, () => run(stage));
});

describe("artifacts in S3", () => {
  const key = { id: "AKIAFLOTILLA", secret: "correct-horse", token: "ticket" };
  let s3: LocalS3;
  before(async () => {
    s3 = await startS3({ dir: scratchFolder(), bucket: "flotilla", keys: [key], region: "garage", pageKeys: 2 });
  });
  after(async () => {
    await closeConnections();
    await s3.stop();
  });

  const stage: ArtifactStage = {
    vault: async () => new S3Vault({ bucket: "flotilla", prefix: "clusters/one", origin: `http://${s3.host}`, region: "garage", credentials: async () => key, timeoutMs: 1_000 }),
    damage: ({ id, sizeBytes }) => s3.put(id, randomBytes(sizeBytes)),
    lose: ({ id }) => s3.remove(id),
    async silence() {
      s3.spoil = () => "hang";
      return async () => { s3.spoil = undefined; };
    },
  };
  for (const { title, run } of artifactCases) test(`${title} (S3)`, () => run(stage));
});
