/** Reads a live object's spec and status, which are other people's data and may be of any shape. */
import { groupOf, type KubeObject } from "./inventory.ts";

export type HealthStatus = "Current" | "InProgress" | "Failed" | "Terminating" | "NotFound";
export type Health = { status: HealthStatus; message: string };

export const current = (message: string): Health => ({ status: "Current", message });
export const inProgress = (message: string): Health => ({ status: "InProgress", message });
export const failed = (message: string): Health => ({ status: "Failed", message });

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
