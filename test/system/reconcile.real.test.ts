/** Everything that can share one running `flotilla up`; each case has a namespace and a repository to itself. */
import { after, describe } from "node:test";
import { cluster } from "../kit/cluster.ts";
import { applyCases } from "./cases/apply.ts";
import { badInputCases } from "./cases/bad-input.ts";
import { badKustomizationCases } from "./cases/bad-kustomization.ts";
import { commandCases } from "./cases/commands.ts";
import { decryptionCases } from "./cases/decryption.ts";
import { deletionCases } from "./cases/deletion.ts";
import { driftCases } from "./cases/drift.ts";
import { gatewayCases } from "./cases/gateway.ts";
import { healthExpressionCases } from "./cases/health-expressions.ts";
import { healthCases } from "./cases/health.ts";
import { sourceCases } from "./cases/source.ts";
import { substitutionCases } from "./cases/substitution.ts";
import { takeOverCases } from "./cases/takeover.ts";
import { startSystem } from "./system.ts";

const { kubeconfig, auditLog } = await cluster();
const system = await startSystem({ kubeconfig, auditLog });
after(() => system.close());

const concurrency = 8;

describe("from a commit to an artifact", { concurrency }, () => sourceCases(system));
describe("from an artifact to objects", { concurrency }, () => applyCases(system));
describe("variables after the build", { concurrency }, () => substitutionCases(system));
describe("decryption", { concurrency }, () => decryptionCases(system));
describe("drift", { concurrency }, () => driftCases(system));
describe("taken over from Flux", { concurrency }, () => takeOverCases(system));
describe("health", { concurrency }, () => healthCases(system));
describe("health by expressions", { concurrency }, () => healthExpressionCases(system));
describe("deletion", { concurrency }, () => deletionCases(system));
describe("bad input", { concurrency }, () => badInputCases(system));
describe("bad Kustomizations", { concurrency }, () => badKustomizationCases(system));
describe("the command line", { concurrency }, () => commandCases(system));
describe("the gateway", { concurrency }, () => gatewayCases(system));
