/** The parts that fleets share, for as long as one scenario: a control plane with an audit log, a NATS, a folder. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startControlPlane, type ControlPlane } from "../../deploy/local/control-plane.ts";
import { startNats, type Nats } from "../../deploy/local/nats.ts";
import { say } from "./report.ts";

export type Stage = {
  dir: string;
  plane: ControlPlane;
  auditLog: string;
  nats: Nats;
  /** With its token, as `--nats` takes it. */
  natsUrl: string;
  atEnd(stop: () => Promise<unknown>): void;
};

export async function onStage(play: (stage: Stage) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "flotilla-bench-"));
  const stops: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  try {
    const plane = await startControlPlane({ dir: join(dir, "cluster"), audit: true, onProgress: say });
    stops.push(() => plane.stop());
    const nats = await startNats({ dir: join(dir, "nats") });
    stops.push(() => nats.stop());
    const natsUrl = nats.url.replace("//", `//${nats.token}@`);
    await play({ dir, plane, nats, natsUrl, auditLog: plane.auditLog ?? "", atEnd: (stop) => stops.push(stop) });
  } finally {
    for (const stop of stops.toReversed()) await stop().catch((thrown: unknown) => say(String(thrown)));
  }
}
