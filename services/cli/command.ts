/** A command: what help says about it is data, what it does is loaded when it runs. */
import type { Shell } from "./shell.ts";

/** Every option of every command; a command reads those that its registry line offers. */
export type OptionValues = {
  json?: boolean;
  verbose?: boolean;
  namespace?: string;
  allNamespaces?: boolean;
  kubeconfig?: string;
  context?: string;
  timeout?: string;
  withSource?: boolean;
  force?: boolean;
  reset?: boolean;
  server?: string;
  data?: string;
  nats?: string;
  natsCreds?: string;
  natsNkey?: string;
  natsCa?: string;
  natsCert?: string;
  natsKey?: string;
  natsMonitor?: string;
  listen?: string;
  advertise?: string;
  logLevel?: string;
  capacity?: string;
  shard?: string;
  tenantLabel?: string;
  stampEpochs?: boolean;
  sopsIgnoreMac?: boolean;
  sopsAgeSecret?: string;
  sopsVaultConfigmap?: string;
  sopsOwnIdentity?: boolean;
  defaultDecryptionServiceAccount?: string;
  tenancy?: string;
  defaultServiceAccount?: string;
  /** False after `--no-cross-namespace-refs`; so it is with the next one. */
  crossNamespaceRefs?: boolean;
  remoteBases?: boolean;
  allowRemoteBases?: boolean;
  remoteBaseHosts?: string;
  defaultKubeconfigServiceAccount?: string;
  insecureKubeconfigExec?: boolean;
  insecureKubeconfigTls?: boolean;
  featureGates?: string;
  overrideManager?: string;
  customApplyStageKinds?: string;
  artifacts?: string;
  artifactCache?: string;
  replicas?: string;
  undo?: boolean;
  path?: string;
  root?: string;
  kustomizationFile?: string;
  helmreleaseFile?: string;
  valuesRoot?: string;
  kubeVersion?: string;
  apiVersions?: string;
  dryRun?: boolean;
  strictSubstitute?: boolean;
  ignorePaths?: string;
};

export type Call = { words: string[]; options: OptionValues; shell: Shell };

/** @returns the exit code; a failure may also be thrown (failure.ts) */
export type Action = (call: Call) => Promise<number>;

export type Command = {
  name: string;
  /** As commander reads it: `<kind> <name...>`. */
  words: string;
  summary: string;
  /** One to three lines of what the summary leaves out. */
  details?: string;
  examples: string[];
  options: Option[];
  load: () => Promise<Action>;
};

export type Option = { flags: string; help: string; default?: string };
