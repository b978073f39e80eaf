//go:build wasip1

// For tests: authorities, certificates, and signatures as `notation sign` makes them, by notation's own library.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"time"
	"unsafe"

	"github.com/notaryproject/notation-core-go/signature"
	_ "github.com/notaryproject/notation-core-go/signature/cose"
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	"golang.org/x/crypto/ocsp"
)

var buffers = map[uintptr][]byte{}

//go:wasmexport alloc
func alloc(size uint32) uint32 { return uint32(keep(make([]byte, max(size, 1)))) }

//go:wasmexport release
func release(at uint32) { delete(buffers, uintptr(at)) }

func keep(bytes []byte) uintptr {
	at := uintptr(unsafe.Pointer(&bytes[0]))
	buffers[at] = bytes
	return at
}

func main() {}

// pair is a certificate and its key, in PEM.
type pair struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

type certificate struct {
	Name string    `json:"name"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Absent: it is an authority.
	Issuer *pair  `json:"issuer"`
	Serial int64  `json:"serial"`
	OCSP   string `json:"ocsp"`
	CRL    string `json:"crl"`
	// It marks time.
	Clock bool `json:"clock"`
}

type signing struct {
	MediaType string          `json:"mediaType"`
	Artifact  json.RawMessage `json:"artifact"`
	// The signer, and who vouches for it.
	Chain  []pair    `json:"chain"`
	At     time.Time `json:"at"`
	Expiry time.Time `json:"expiry"`
	// Marks when it was signed, and whoever vouches for that.
	Clock []pair `json:"clock"`
}

type status struct {
	Issuer  pair  `json:"issuer"`
	Serial  int64 `json:"serial"`
	Revoked bool  `json:"revoked"`
	List    bool  `json:"list"`
}

//go:wasmexport call
func call(at, size uint32) uint64 {
	var asked struct {
		Certificate *certificate `json:"certificate"`
		Sign        *signing     `json:"sign"`
		Status      *status      `json:"status"`
	}
	made, err := any(nil), json.Unmarshal(buffers[uintptr(at)][:size], &asked)
	switch {
	case err != nil:
	case asked.Certificate != nil:
		made, err = asked.Certificate.make()
	case asked.Sign != nil:
		made, err = asked.Sign.make()
	case asked.Status != nil:
		made, err = asked.Status.make()
	}
	if err != nil {
		made = map[string]string{"error": err.Error()}
	}
	text, _ := json.Marshal(made)
	return uint64(keep(text))<<32 | uint64(len(text))
}

func (c certificate) make() (any, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(c.Serial), NotBefore: c.From, NotAfter: c.To,
		Subject: pkix.Name{Country: []string{"DE"}, Province: []string{"HH"}, Organization: []string{"example"}, CommonName: c.Name},
	}
	issuer, signer := template, key
	if c.Issuer == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	} else {
		template.KeyUsage = x509.KeyUsageDigitalSignature
		if c.Clock {
			// {SEQUENCE {id-kp-timeStamping}}: critical, as RFC 3161 wants it
			template.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 37}, Critical: true, Value: []byte{48, 10, 6, 8, 43, 6, 1, 5, 5, 7, 3, 8}}}
		} else {
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}
		if c.OCSP != "" {
			template.OCSPServer = []string{c.OCSP}
		}
		if c.CRL != "" {
			template.CRLDistributionPoints = []string{c.CRL}
		}
		if issuer, signer, err = c.Issuer.read(); err != nil {
			return nil, err
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	return pair{
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}, err
}

func (p pair) read() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	shown, _ := pem.Decode([]byte(p.Certificate))
	secret, _ := pem.Decode([]byte(p.Key))
	if shown == nil || secret == nil {
		return nil, nil, errors.New("not in PEM")
	}
	certificate, err := x509.ParseCertificate(shown.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(secret.Bytes)
	if err != nil {
		return nil, nil, err
	}
	return certificate, key.(*ecdsa.PrivateKey), nil
}

func (s signing) make() (any, error) {
	var chain []*x509.Certificate
	var key *ecdsa.PrivateKey
	for i, each := range s.Chain {
		certificate, own, err := each.read()
		if err != nil {
			return nil, err
		}
		chain = append(chain, certificate)
		if i == 0 {
			key = own
		}
	}
	signer, err := signature.NewLocalSigner(chain, key)
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(map[string]json.RawMessage{"targetArtifact": s.Artifact})
	if err != nil {
		return nil, err
	}
	request := &signature.SignRequest{
		Payload: signature.Payload{ContentType: "application/vnd.cncf.notary.payload.v1+json", Content: content},
		Signer:  signer, SigningTime: s.At, Expiry: s.Expiry, SigningScheme: signature.SigningSchemeX509, SigningAgent: "test",
	}
	if len(s.Clock) == 2 {
		certificate, own, err := s.Clock[0].read()
		if err != nil {
			return nil, err
		}
		root, _, err := s.Clock[1].read()
		if err != nil {
			return nil, err
		}
		request.Timestamper = clock{certificate, own, s.At}
		request.TSARootCAs = x509.NewCertPool()
		request.TSARootCAs.AddCert(root)
	}
	envelope, err := signature.NewEnvelope(s.MediaType)
	if err != nil {
		return nil, err
	}
	blob, err := envelope.Sign(request)
	return map[string][]byte{"blob": blob}, err
}

// make says what became of a certificate: an answer of OCSP, or a list of those revoked.
func (s status) make() (any, error) {
	issuer, key, err := s.Issuer.read()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if s.List {
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
		if s.Revoked {
			list.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(s.Serial), RevocationTime: now.Add(-time.Minute)}}
		}
		blob, err := x509.CreateRevocationList(rand.Reader, list, issuer, key)
		return map[string][]byte{"blob": blob}, err
	}
	said := ocsp.Response{
		Status: ocsp.Good, SerialNumber: big.NewInt(s.Serial), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour), IssuerHash: crypto.SHA1,
	}
	if s.Revoked {
		said.Status, said.RevokedAt = ocsp.Revoked, now.Add(-time.Minute)
	}
	blob, err := ocsp.CreateResponse(issuer, issuer, said, key)
	return map[string][]byte{"blob": blob}, err
}

func digestOf(bytes []byte) []byte {
	sum := sha256.Sum256(bytes)
	return sum[:]
}
