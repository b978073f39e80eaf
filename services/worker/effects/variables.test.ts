import assert from "node:assert/strict";
import test from "node:test";
import { Fault } from "#protocol/errors/fault.ts";
import type { DataObject, DataRef } from "#services/cluster/objects.ts";
import { featureGates, readFeatureGates } from "../feature-gates.ts";
import { substitutionOf } from "./variables.ts";

const nameOf = ({ kind, namespace, name }: DataRef) => `${kind}/${namespace}/${name}`;
const dataOf = (version: string, data: Record<string, string | Uint8Array>): DataObject =>
  ({ version, data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value)])) });

type PostBuild = Parameters<typeof substitutionOf>[0];
const from = (kind: "ConfigMap" | "Secret", name: string, optional = false) => ({ kind, name, optional });

async function read(postBuild: PostBuild, objects: Record<string, DataObject> = {}, watched: Record<string, string> = {}) {
  const asked: string[] = [];
  const substitution = await substitutionOf(postBuild, "apps", { strict: true }, { watched, digestKey: async () => Buffer.from("key of the hub"), data: async (ref) => { asked.push(nameOf(ref)); return objects[nameOf(ref)]; } });
  const askedFirst = [...asked];
  const variables = await substitution?.read();
  return { substitution, asked, askedFirst, variables, values: variables?.values };
}

test("[SB11] a later object wins over an earlier, the object's own over all; newlines go", async () => {
  const { values, asked } = await read(
    { substitute: { c: "own\n", d: "4" }, substituteFrom: [from("ConfigMap", "one"), from("Secret", "two")] },
    { "ConfigMap/apps/one": dataOf("u1 1", { a: "1", b: "1", c: "1" }), "Secret/apps/two": dataOf("u2 1", { b: "2\n3\n", c: "2" }) },
  );
  assert.deepEqual(values, { a: "1", b: "23", c: "own", d: "4" });
  assert.deepEqual(asked, ["ConfigMap/apps/one", "Secret/apps/two"]);
});

test("[SB11] what is no text is no variable", async () => {
  const { values } = await read({ substituteFrom: [from("Secret", "two")] }, { "Secret/apps/two": dataOf("u2 1", { a: "ä", b: new Uint8Array([0xff, 0xfe]) }) });
  assert.deepEqual(values, { a: "ä" });
});

test("[SB5] without a word of variables there is nothing to do, and with Always there is", async () => {
  for (const postBuild of [undefined, {}, { substitute: {} }, { substituteFrom: [] }, { substituteStrategy: "WithVariables" as const }])
    assert.equal((await read(postBuild)).substitution, undefined);
  assert.deepEqual(await read({ substituteStrategy: "Always" }).then(({ substitution, values }) => [substitution?.always, values]), [true, {}]);
});

for (const kind of ["ConfigMap", "Secret"] as const)
  test(`[SB13] a ${kind} that is missing is named; when it is optional the rest goes on`, async () => {
    await assert.rejects(read({ substituteFrom: [from(kind, "gone")] }), (thrown) =>
      thrown instanceof Fault && thrown.code === "VariablesMissing" && thrown.message.startsWith(`post build failed: substitute from '${kind}/gone' error: not found in namespace apps`));
    const { values, substitution } = await read({ substitute: { a: "1" }, substituteFrom: [from(kind, "gone", true)] });
    assert.deepEqual([values, substitution?.version], [{ a: "1" }, [{ a: "1" }, "absent"]]);
  });

test("[SB13] one that may not be read is told as what it is; a server that is away is another matter", async () => {
  const refused = (code: "ObjectForbidden" | "ClusterUnreachable") => substitutionOf({ substituteFrom: [from("Secret", "s", true)] }, "apps", { strict: true },
    { watched: {}, digestKey: async () => new Uint8Array(32), data: async () => { throw new Fault(code, "Secret/apps/s", { detail: "secrets is forbidden" }); } });
  await assert.rejects(refused("ObjectForbidden"), /VariablesMissing|substitute from 'Secret\/s' error: secrets is forbidden/);
  await assert.rejects(refused("ClusterUnreachable"), (thrown) => thrown instanceof Fault && thrown.code === "ClusterUnreachable");
});

test("[SB14] what stands for the values holds versions, and no value of a ConfigMap or Secret", async () => {
  const { substitution } = await read({ substituteFrom: [from("Secret", "two")] }, { "Secret/apps/two": dataOf("u2 17", { pin: "1234" }) });
  assert.deepEqual([substitution?.version, (await substitution?.read())?.version], [[{}, "u2 17"], [{}, "u2 17"]]);
});

test("[SB15] what came from Secrets is confidential, also where something else won over it", async () => {
  const { substitution } = await read({ substitute: { pin: "0" }, substituteFrom: [from("ConfigMap", "one"), from("Secret", "two")] },
    { "ConfigMap/apps/one": dataOf("u1 1", { a: "public" }), "Secret/apps/two": dataOf("u2 17", { pin: "1234\n" }) });
  assert.deepEqual((await substitution?.read())?.confidential, ["1234"]);
});

const gates: { text: string; strict?: boolean; error?: RegExp }[] = [
  { text: "", strict: true },
  { text: "StrictPostBuildSubstitutions=false", strict: false },
  { text: " StrictPostBuildSubstitutions=true, ", strict: true },
  { text: "Other=true", error: /no such gate: Other; there is StrictPostBuildSubstitutions, DisableFailFastBehavior/ },
  { text: "StrictPostBuildSubstitutions", error: /true or false/ },
];
for (const { text, strict, error } of gates)
  test(`[SB3] --feature-gates "${text}" ${error ? `is refused: ${error}` : `makes it ${strict ? "strict" : "lenient"}`}`, () => {
    if (error) assert.throws(() => readFeatureGates(text), error);
    else assert.equal(readFeatureGates(text).StrictPostBuildSubstitutions, strict);
  });

test("[SB3] it is strict by default, as in Flux since kustomize-controller 1.9", () => assert.equal(featureGates.StrictPostBuildSubstitutions, true));

test("[SB16] what is watched is not read to know whether it changed, and is read anew for a build", async () => {
  const postBuild = { substituteFrom: [from("ConfigMap", "one"), from("Secret", "two"), from("ConfigMap", "three")] };
  const objects = { "ConfigMap/apps/one": dataOf("u1 1", { a: "1" }), "Secret/apps/two": dataOf("u2 9", { b: "2" }), "ConfigMap/apps/three": dataOf("u3 1", { c: "3" }) };
  const { substitution, askedFirst, asked, variables } = await read(postBuild, objects, { "ConfigMap/apps/one": "u1 1", "Secret/apps/two": "u2 8" });
  assert.deepEqual(askedFirst, ["ConfigMap/apps/three"]);
  assert.deepEqual(substitution?.version, [{}, "u1 1", "u2 8", "u3 1"]);
  assert.deepEqual(asked.slice(1), ["ConfigMap/apps/one", "Secret/apps/two"]);
  assert.deepEqual([variables?.values, variables?.version], [{ a: "1", b: "2", c: "3" }, [{}, "u1 1", "u2 9", "u3 1"]], "the version is that of what was read");
});

test("[SB17] the key for digests is asked for where a Secret is named, whether it is there or not, and nowhere else", async () => {
  const key = async (postBuild: PostBuild) => (await read(postBuild)).substitution?.digestKey;
  assert.equal((await key({ substituteFrom: [from("ConfigMap", "a", true), from("Secret", "b", true)] }))?.toString(), "key of the hub");
  assert.equal(await key({ substitute: { a: "1" }, substituteFrom: [from("ConfigMap", "a", true)] }), undefined);
});
