/** Which addresses a tenant may have the worker connect to. */
import assert from "node:assert/strict";
import test from "node:test";
import { Agent, request } from "undici";
import { isPublic, publicConnector } from "./public.ts";

const rows: Record<string, boolean> = {
  "140.82.121.3": true, "8.8.8.8": true, "2606:50c0:8000::153": true,
  "127.0.0.1": false, "127.9.9.9": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "172.32.0.1": true, "192.168.1.1": false,
  "169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false,
  "::1": false, "::": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
  "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "2001:db8::1": false,
  "example.com": false, "": false,
};
for (const [address, expected] of Object.entries(rows))
  test(`[RN67] ${address || "nothing"} is ${expected ? "" : "not "}a public address`, () => assert.equal(isPublic(address), expected));

for (const host of ["127.0.0.1", "[::1]", "localhost", "2130706433", "0x7f.1"])
  test(`[RN67] http://${host} is not connected to`, async () => {
    const dispatcher = new Agent({ connect: publicConnector({}) });
    await assert.rejects(request(`http://${host}:9/`, { dispatcher }), { code: "ENOTPUBLIC" });
    await dispatcher.close();
  });
