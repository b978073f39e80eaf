/** Everything that can share one running `flotilla up`; each case has a namespace and a repository to itself. */
import { after, describe } from "node:test";
import { cluster } from "../kit/cluster.ts";
import { applyCases } from "./cases/apply.ts";
import { badInputCases } from "./cases/bad-input.ts";
import { commandCases } from "./cases/commands.ts";
import { deletionCases } from "./cases/deletion.ts";
import { driftCases } from "./cases/drift.ts";
import { gatewayCases } from "./cases/gateway.ts";
import { healthCases } from "./cases/health.ts";
import { notYetCases } from "./cases/not-yet.ts";
import { sourceCases } from "./cases/source.ts";
import { startSystem } from "./system.ts";

const { kubeconfig, auditLog } = await cluster();
const system = await startSystem({ kubeconfig, auditLog });
after(() => system.close());

const concurrency = 8;

describe("from a commit to an artifact", { concurrency }, () => sourceCases(system));
describe("from an artifact to objects", { concurrency }, () => applyCases(system));
describe("drift", { concurrency }, () => driftCases(system));
describe("health", { concurrency }, () => healthCases(system));
describe("deletion", { concurrency }, () => deletionCases(system));
describe("bad input", { concurrency }, () => badInputCases(system));
describe("fields not yet acted on", { concurrency }, () => notYetCases(system));
describe("the command line", { concurrency }, () => commandCases(system));
describe("the gateway", { concurrency }, () => gatewayCases(system));
