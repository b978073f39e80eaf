import assert from "node:assert/strict";
import test from "node:test";
import type { WantedStatus } from "#machines/rules/status.ts";
import { statusPatch } from "./status-patch.ts";

const ready = { type: "Ready", status: "True", reason: "Succeeded", message: "stored" } as const;
const wanted: WantedStatus = { handledAt: "", observedGeneration: 2, conditions: [ready] };
const now = "2026-02-03T04:05:06.789Z";
const url = (path: string) => `http://host/${path}`;
const patch = (want: WantedStatus, live: Parameters<typeof statusPatch>[1]) => statusPatch(want, live, 2, now, url);

test("[WK5] a fresh object gets everything, times in whole seconds", () => {
  assert.deepEqual(patch(wanted, { observedGeneration: -1 }), {
    observedGeneration: 2, conditions: [{ ...ready, observedGeneration: 2, lastTransitionTime: "2026-02-03T04:05:06Z" }],
  });
});

test("[WK5] an object that says it all gets no patch, whatever the order of its fields", () => {
  const live = { conditions: [{ lastTransitionTime: "2026-01-01T00:00:00Z", message: "stored", type: "Ready", reason: "Succeeded", observedGeneration: 2, status: "True" as const }], observedGeneration: 2 };
  assert.equal(patch(wanted, live), undefined);
});

test("[WK5] a condition of somebody else's type stays, one of ours that ceased goes", () => {
  const foreign = { type: "acme.example.com/Audited", status: "True", reason: "Done", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" } as const;
  const stalled = { type: "Stalled", status: "True", reason: "x", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" } as const;
  const { conditions } = patch(wanted, { observedGeneration: 2, conditions: [stalled, foreign] }) as { conditions: { type: string }[] };
  const types = conditions.map(({ type }) => type);
  assert.deepEqual(types, ["Ready", "acme.example.com/Audited"]);
});

test("[WK5] an artifact is published under the gateway's address", () => {
  const artifact = { revision: "main@sha1:1", digest: "sha256:2", sizeBytes: 3, path: "gitrepository/a/b/1.tar.gz", storedAt: "2026-01-01T00:00:00Z" };
  assert.deepEqual(patch({ handledAt: "x", artifact }, {}), {
    lastHandledReconcileAt: "x",
    artifact: { revision: "main@sha1:1", digest: "sha256:2", size: 3, path: artifact.path, lastUpdateTime: artifact.storedAt, url: `http://host/${artifact.path}` },
  });
});

test("[OC26] what an object no longer says is taken away, in its parts too: a merge patch alone would leave it", () => {
  const artifact = { revision: "latest@sha256:1", digest: "sha256:2", sizeBytes: 3, path: "ocirepository/a/b/1.tar.gz", storedAt: "2026-01-01T00:00:00Z" };
  const live = {
    artifact: { revision: "latest@sha256:0", metadata: { a: "1", b: "2" } }, observedIgnore: "*.md",
    observedLayerSelector: { mediaType: "x", operation: "copy" },
  };
  const want = { handledAt: "", artifact: { ...artifact, metadata: { b: "3" } }, latest: "ocirepository/a/b/latest.tar.gz", observed: { observedIgnore: null, observedLayerSelector: { mediaType: "x" } } };
  const made = patch(want, live) as Record<string, object>;
  assert.deepEqual(made["artifact"], {
    revision: artifact.revision, digest: artifact.digest, size: 3, path: artifact.path, lastUpdateTime: artifact.storedAt, url: `http://host/${artifact.path}`,
    metadata: { b: "3", a: null },
  });
  assert.deepEqual([made["url"], made["observedIgnore"], made["observedLayerSelector"]], ["http://host/ocirepository/a/b/latest.tar.gz", null, { mediaType: "x", operation: null }]);
  assert.deepEqual((patch({ handledAt: "", artifact }, live) as { artifact: object }).artifact, { ...(made["artifact"] as object), metadata: null });
  assert.equal(patch({ handledAt: "", observed: { observedIgnore: null } }, {}), undefined);
});
