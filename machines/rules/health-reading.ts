/** Reads a live object's spec and status, which are other people's data and may be of any shape. */
import { groupOf, type KubeObject } from "./inventory.ts";

/** What can be told from an object as it stands. */
export type Standing = { status: "Current" | "InProgress" | "Failed" | "Terminating" | "NotFound"; message: string };

/** `Unknown`: it could not be read, or not be judged. */
export type Health = Standing | { status: "Unknown"; message: string };

export const current = (message: string): Standing => ({ status: "Current", message });
export const inProgress = (message: string): Standing => ({ status: "InProgress", message });
export const failed = (message: string): Standing => ({ status: "Failed", message });
export const unknown = (message: string): Health => ({ status: "Unknown", message });

export type Condition = { type: string; status: string; reason: string; message: string };

export function conditionsOf(object: KubeObject): Condition[] {
  const list = statusOf(object)["conditions"];
  if (!Array.isArray(list)) return [];
  return list.map((entry: unknown) => {
    const { type, status, reason, message } = recordOf(entry);
    return { type: text(type), status: text(status), reason: text(reason), message: text(message) };
  });
}

export const statusOf = (object: KubeObject): Record<string, unknown> => recordOf(object["status"]);
export const specOf = (object: KubeObject): Record<string, unknown> => recordOf(object["spec"]);

export const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

export const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** `apps/Deployment`; the core group is empty: `/Pod`. */
export const groupKindOf = ({ apiVersion, kind }: KubeObject): string => `${groupOf(apiVersion)}/${kind}`;
