/**
 * The nats-server that tests share: from `test/run.ts`, or an own one for a test file run by itself. A test that stops or
 * kills its server, or needs it empty, starts one with deploy/local/nats.ts: that takes a tenth of a second.
 */
import { startNats } from "../../deploy/local/nats.ts";
import { scratchFolder } from "./cluster.ts";

export type SharedNats = { url: string; token: string };

let started: Promise<SharedNats> | undefined;

export function nats(): Promise<SharedNats> {
  const { FLOTILLA_TEST_NATS_URL: url, FLOTILLA_TEST_NATS_TOKEN: token } = process.env;
  started ??= url && token ? Promise.resolve({ url, token }) : startNats({ dir: scratchFolder() });
  return started;
}
