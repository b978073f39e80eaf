import assert from "node:assert/strict";
import test from "node:test";
import { Play } from "../../test/simulate/play.ts";
import { cluster, type ClusterContext } from "./machine.ts";

const begun = () => new Play<ClusterContext>(cluster, "cluster/flotilla/hub");
const heard = (play: Play<ClusterContext>) => play.emits.map(({ type }) => type);

test("[RC26] it connects, watches, and says so", () => {
  const play = begun();
  assert.equal(play.running, "connect");
  play.answer();
  assert.deepEqual([play.running, heard(play)], ["watch", ["clusterConnected"]]);
  play.answer();
  assert.deepEqual([play.running, heard(play)], ["connect", ["clusterConnected", "clusterLost"]]);
});

test("[RC26] watches that fail are lost", () => {
  const play = begun().answer().fail("ClusterUnreachable");
  assert.deepEqual([play.state, heard(play), play.context.fault?.code], ["away", ["clusterConnected", "clusterLost"], "ClusterUnreachable"]);
});

test("[RT11] it comes back within 30 s, and counts anew once it was there", () => {
  const play = begun();
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    play.fail("ClusterUnreachable");
    waits.push(play.waits[0] ?? 0);
    play.wait();
  }
  assert.deepEqual(waits, [750, 1_500, 3_000, 6_000, 12_000, 24_000, 30_000, 30_000]);
  assert.equal(play.answer().fail("ClusterUnreachable").waits[0], 750);
});
