/** What a worker is made of: everything that is another in the simulator, or on another machine. */
import type { Bus } from "#services/store/bus.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { HeartCallbacks } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Heart } from "#services/store/heart.ts";
import type { Log as CellLog } from "#services/store/log.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Metrics } from "#services/telemetry/metrics.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import type { KustomizationPorts } from "./effects/kustomization.ts";
import type { SourcePorts } from "./effects/source.ts";
import type { HostPorts } from "./host-ports.ts";
import type { Hub, HubOptions } from "./hub.ts";

export type WorkerOptions = {
  name: string;
  clock: Clock;
  cellLog: CellLog;
  bus: Bus;
  startHeart(callbacks: HeartCallbacks): Heart;
  /** Which cluster the hub is: workers of another one are refused. */
  hubId: string;
  /** How much it carries beside the others. */
  capacity: number;
  openHub(wires: HubOptions): Hub;
  /** By kind of actor. */
  sources?: SourcePorts["kinds"];
  artifacts: ArtifactPorts;
  renderer: KustomizationPorts["renderer"];
  spans: Spans;
  metrics: Metrics;
  log: Log;
  /** Where artifacts can be downloaded by their path. */
  artifactUrl(path: string): string;
  /** Label of an object that names its tenant; its namespace is the tenant otherwise. */
  tenantLabel?: string;
  /** Whether applied objects carry the epoch, for the admission policy of deploy/policy. */
  stampEpochs?: boolean;
  /** This worker may not act any more: it was declared dead. */
  onLost(reason: string): void;
  /** Looks on, or leaves something out: for the simulator. */
  wrap?(ports: HostPorts): HostPorts;
};

type ArtifactPorts = SourcePorts["artifacts"] & Pick<ArtifactStore, "get">;
