/** `spec.dependsOn` on one running `flotilla up`. */
import { after, describe } from "node:test";
import { ownCluster } from "../kit/cluster.ts";
import { dependencyCases } from "./cases/dependencies.ts";
import { startSystem } from "./system.ts";

const { kubeconfig, auditLog } = await ownCluster();
const system = await startSystem({ kubeconfig, auditLog });
after(() => system.close());

describe("dependencies", { concurrency: 4 }, () => dependencyCases(system));
