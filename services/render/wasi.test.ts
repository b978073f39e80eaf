import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import test from "node:test";
import { Wasi, WasmExit } from "./wasi.ts";

type Call = (...args: (number | bigint)[]) => number;

/** A module that is nothing but memory, so that the functions it would call can be called here. */
function world(settings: Record<string, string> = {}) {
  const buffer = new ArrayBuffer(65_536);
  const wasi = new Wasi(settings);
  wasi.start({ exports: { memory: { buffer }, _initialize: () => {} } });
  const call = (name: string, ...args: (number | bigint)[]) => (wasi.imports[name] as Call)(...args);
  return { wasi, call, view: new DataView(buffer), bytes: Buffer.from(buffer) };
}

test("[RN32] wall time stands still, and is the same everywhere", () => {
  const read = ({ call, view }: ReturnType<typeof world>) => {
    call("clock_time_get", 0, 1n, 0);
    return view.getBigUint64(0, true);
  };
  const one = world();
  const first = read(one);
  assert.equal(read(one), first);
  assert.equal(read(world()), first);
});

test("[RN32] a sleep takes no time, but the monotonic clock has moved past it", () => {
  const { call, view } = world();
  call("clock_time_get", 1, 1n, 0);
  const before = view.getBigUint64(0, true);
  view.setBigUint64(100, 7n, true); // what the caller knows the event by
  view.setBigUint64(124, 5_000_000_000n, true);
  assert.equal(call("poll_oneoff", 100, 200, 1, 300), 0);
  assert.equal(view.getUint32(300, true), 1);
  assert.equal(view.getBigUint64(200, true), 7n);
  call("clock_time_get", 1, 1n, 0);
  assert.ok(view.getBigUint64(0, true) - before >= 5_000_000_000n);
});

test("[RN32] chance falls the same in every module, and does not repeat within one", () => {
  const dice = ({ call, bytes }: ReturnType<typeof world>) => {
    call("random_get", 0, 16);
    return bytes.toString("hex", 0, 16);
  };
  const one = world();
  const first = dice(one);
  assert.notEqual(dice(one), first);
  assert.equal(dice(world()), first);
});

test("[RN32] no file is open, none can be opened, the environment is what it was given", () => {
  const { call, view, bytes } = world({ GOGC: "400" });
  for (const name of ["fd_read", "fd_prestat_get", "path_open", "sock_accept"])
    assert.notEqual(call(name, 3, 0, 0, 0), 0, name);
  call("environ_sizes_get", 0, 4);
  assert.deepEqual([view.getUint32(0, true), view.getUint32(4, true)], [1, 9]);
  call("environ_get", 0, 100);
  assert.equal(bytes.toString("latin1", 100, 109), "GOGC=400\0");
});

test("[RN32] what is printed is kept up to a bound, also when the module ends itself", () => {
  const { wasi, call, view, bytes } = world();
  bytes.fill("x", 1_000, 61_000);
  view.setUint32(0, 1_000, true);
  view.setUint32(4, 60_000, true);
  for (let i = 0; i < 5; i++) {
    assert.equal(call("fd_write", 2, 0, 1, 8), 0);
    assert.equal(view.getUint32(8, true), 60_000);
  }
  assert.equal(wasi.takeOutput().length, 65_536);
  view.setUint32(4, 3, true);
  call("fd_write", 2, 0, 1, 8);
  assert.throws(
    () => call("proc_exit", 2),
    (thrown) => thrown instanceof WasmExit && thrown.exitCode === 2,
  );
  assert.equal(wasi.takeOutput(), "xxx");
});
