/** The first answer of a Git server: what it can do and, in version 1, all of its references. */
import { textOf, type Packet } from "./pkt-line.ts";
import { isObjectId } from "./reference.ts";

export type Advertisement = {
  version: 1 | 2;
  /** Name to value; nothing when it has none. */
  capabilities: Map<string, string>;
  objectFormat: string;
  /** Name to object; only in version 1. */
  refs: Map<string, string>;
};

/** @throws RangeError when it is not one */
export async function readAdvertisement(packets: AsyncIterable<Packet>): Promise<Advertisement> {
  let capabilities: Map<string, string> | undefined;
  let version: 1 | 2 = 1;
  let empty = true;
  const refs = new Map<string, string>();
  for await (const packet of packets) {
    empty = false;
    if (packet.kind !== "data") continue;
    const text = textOf(packet.payload);
    if (version === 2 && capabilities) addCapability(capabilities, text);
    else if (text === "version 2") [version, capabilities] = [2, new Map()];
    else if (capabilities) addRef(refs, text);
    else if (!text.startsWith("# ") && text !== "version 1") {
      const [first = "", list = ""] = text.split("\0", 2);
      capabilities = new Map();
      for (const item of list.split(" ")) addCapability(capabilities, item);
      // An empty repository has capabilities and no reference to hang them on.
      if (first !== `${"0".repeat(40)} capabilities^{}`) addRef(refs, first);
    }
  }
  if (empty) throw new RangeError("the answer is empty");
  // Git before 2.41 says nothing at all of an empty repository.
  return { version, capabilities: capabilities ?? new Map(), refs, objectFormat: capabilities?.get("object-format") ?? "sha1" };
}

function addCapability(capabilities: Map<string, string>, text: string): void {
  const at = text.indexOf("=");
  if (text !== "") capabilities.set(at < 0 ? text : text.slice(0, at), at < 0 ? "" : text.slice(at + 1));
}

function addRef(refs: Map<string, string>, text: string): void {
  const [oid = "", name = ""] = text.split(" ", 2);
  if (/^[0-9a-f]{64}$/.test(oid)) return; // said by object-format as well, which the caller looks at
  if (!isObjectId(oid) || name === "" || name.startsWith("shallow")) throw new RangeError("the list of references is not readable");
  refs.set(name, oid);
}
