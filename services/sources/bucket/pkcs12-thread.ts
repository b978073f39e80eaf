/** A worker thread that opens PKCS #12: that takes as long as whoever made it has chosen. */
import forge from "node-forge";
import { Fault } from "#protocol/errors/fault.ts";
import { answerJobs } from "#services/threads/answer.ts";

/** In PEM. */
export type Opened = { certificates: string[]; key: string };

export type Jobs = { open: { job: { bytes: Uint8Array; password: string; shown: string }; made: Opened } };

function opened({ bytes, password }: Jobs["open"]["job"]): Opened {
  const { asn1, pkcs12, pki } = forge;
  const store = pkcs12.pkcs12FromAsn1(asn1.fromDer(Buffer.from(bytes).toString("latin1")), true, password);
  const bagsOf = (type: string | undefined) => (type === undefined ? [] : (store.getBags({ bagType: type })[type] ?? []));
  const { certBag = "", keyBag = "", pkcs8ShroudedKeyBag = "" } = pki.oids;
  const [found] = [...bagsOf(pkcs8ShroudedKeyBag), ...bagsOf(keyBag)];
  if (!found?.key) throw new RangeError("no key");
  const key = pki.privateKeyInfoToPem(pki.wrapRsaPrivateKey(pki.privateKeyToAsn1(found.key)));
  return { certificates: bagsOf(certBag).flatMap(({ cert }) => (cert ? [pki.certificateToPem(cert)] : [])), key };
}

function open(job: Jobs["open"]["job"]): Opened {
  try {
    return opened(job);
  } catch {
    // The library's words may repeat what is in it.
    throw new Fault("AuthenticationFailed", job.shown, { detail: "clientCertificate of the Secret is neither PEM nor PKCS #12 that clientCertificatePassword opens" });
  }
}

answerJobs<Jobs>({ open }, { subjectOf: ({ shown }) => shown });
