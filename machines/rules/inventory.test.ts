import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { displayName, inventoryId, marked, objectIdOf, parseInventoryId, versionOf } from "./inventory.ts";

const rows = [
  { id: "default_cfg__ConfigMap", is: { namespace: "default", name: "cfg", group: "", kind: "ConfigMap" }, shown: "ConfigMap/default/cfg" },
  { id: "apps_web_apps_Deployment", is: { namespace: "apps", name: "web", group: "apps", kind: "Deployment" }, shown: "Deployment/apps/web" },
  { id: "_apps__Namespace", is: { namespace: "", name: "apps", group: "", kind: "Namespace" }, shown: "Namespace/apps" },
  {
    id: "_widgets.example.com_apiextensions.k8s.io_CustomResourceDefinition", shown: "CustomResourceDefinition/widgets.example.com",
    is: { namespace: "", name: "widgets.example.com", group: "apiextensions.k8s.io", kind: "CustomResourceDefinition" },
  },
  {
    id: "_system__controller__node_rbac.authorization.k8s.io_ClusterRole", shown: "ClusterRole/system:controller:node",
    is: { namespace: "", name: "system:controller:node", group: "rbac.authorization.k8s.io", kind: "ClusterRole" },
  },
];
for (const { id, is, shown } of rows)
  test(`[AP1] ${shown} is ${id}`, () => {
    assert.equal(inventoryId(is), id);
    assert.deepEqual(parseInventoryId(id), is);
    assert.equal(displayName(is), shown);
  });

for (const id of ["", "a", "a_b", "a_b_c"])
  test(`[AP1] "${id}" is no inventory id`, () => assert.throws(() => parseInventoryId(id), RangeError));

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?$/);
const rbacName = fc.array(label, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(":"));
const kind = fc.stringMatching(/^[A-Z][A-Za-z0-9]{0,12}$/);

test("[AP1] every id reads back as what it was made of", () =>
  fc.assert(fc.property(
    fc.oneof(
      fc.record({ namespace: fc.oneof(label, fc.constant("")), name: label, group: fc.oneof(label, fc.constant("")), kind }),
      fc.record({
        namespace: fc.oneof(label, fc.constant("")), name: rbacName, group: fc.constant("rbac.authorization.k8s.io"),
        kind: fc.constantFrom("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"),
      }),
    ),
    (id) => assert.deepEqual(parseInventoryId(inventoryId(id)), { ...id }),
  )));

test("[AP1] an object's id comes from its manifest", () => {
  const object = { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "web", namespace: "apps" } };
  assert.equal(inventoryId(objectIdOf(object)), "apps_web_apps_Deployment");
  assert.deepEqual([versionOf("apps/v1"), versionOf("v1")], ["v1", "v1"]);
});

const marks = [
  { metadata: { annotations: { k: "Disabled" } }, is: true },
  { metadata: { labels: { k: "disabled" } }, is: true },
  { metadata: { labels: { k: "enabled" }, annotations: { k: "DISABLED" } }, is: true },
  { metadata: { annotations: { k: "" } }, is: false },
  { metadata: {}, is: false },
];
for (const { metadata, is } of marks)
  test(`[AP7] ${JSON.stringify(metadata)} ${is ? "is" : "is not"} marked`, () => assert.equal(marked(metadata, "k", "disabled"), is));
