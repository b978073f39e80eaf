/** What a worker is made of: everything that is another in the simulator, or on another machine. */
import type { Tenancy } from "#machines/rules/tenancy.ts";
import type { Clouds } from "#services/clients/cloud/identity.ts";
import type { Bus } from "#services/store/bus.ts";
import type { Engine } from "#services/render/engine.ts";
import type { Renderer } from "#services/render/render.ts";
import type { ArtifactStore } from "#services/store/artifacts.ts";
import type { HeartCallbacks } from "#services/store/cell.ts";
import type { Clock } from "#services/store/clock.ts";
import type { Heart } from "#services/store/heart.ts";
import type { Log as CellLog } from "#services/store/log.ts";
import type { Log } from "#services/telemetry/log.ts";
import type { Metrics } from "#services/telemetry/metrics.ts";
import type { Spans } from "#services/telemetry/spans.ts";
import type { KustomizationPorts } from "./effects/kustomization.ts";
import type { HelmPort } from "./effects/release-scope.ts";
import type { SourcePorts } from "./effects/source.ts";
import type { FeatureGates } from "./feature-gates.ts";
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
  renderer: Pick<Renderer, "render" | "changedDirectories" | "tree">;
  cel: KustomizationPorts["cel"];
  helm: HelmPort;
  /** What edits files and renders messages. */
  engine: Engine;
  decryption: KustomizationPorts["decryption"];
  digestKey: KustomizationPorts["digestKey"];
  /** Identities in clouds; objects have none when absent. */
  clouds?: Clouds;
  /** Judges notation's signatures. */
  notation?: SourcePorts["notation"];
  /** Fetches remote bases; they are refused when absent. */
  bases?: KustomizationPorts["bases"];
  spans: Spans;
  metrics: Metrics;
  log: Log;
  /** Where artifacts can be downloaded by their path. */
  artifactUrl(path: string): string;
  /** The key of the shard it is there for; for everything that has none when absent. */
  shard?: string;
  /** Label of an object that names its tenant; its namespace is the tenant otherwise. */
  tenantLabel?: string;
  /** What is locked down; nothing when absent. */
  tenancy?: Tenancy;
  /** As in Flux when absent. */
  features?: FeatureGates;
  /** Whether applied objects carry the epoch, for the admission policy of deploy/policy. */
  stampEpochs?: boolean;
  /** This worker may not act any more: it was declared dead. */
  onLost(reason: string): void;
  /** Looks on, or leaves something out: for the simulator. */
  wrap?(ports: HostPorts): HostPorts;
};

type ArtifactPorts = SourcePorts["artifacts"] & Pick<ArtifactStore, "get">;
