import { fromPromise } from "xstate";

/** A named effect: typed here, performed by a service, never run by the machine itself. */
export const effect = <Input, Output>() =>
  fromPromise<Output, Input>(() => Promise.reject(new TypeError("effects are performed by services/worker")));
