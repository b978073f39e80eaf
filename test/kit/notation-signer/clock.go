//go:build wasip1

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/notaryproject/tspclient-go"
)

// clock marks time as RFC 3161 has it, in a message of RFC 5652.
type clock struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	at          time.Time
}

var (
	oidSignedData         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertificate = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidTimestamp          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	sha256Of              = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	ecdsaWithSHA256       = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
)

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []any `asn1:"set"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content any `asn1:"explicit,tag:0"`
}

type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content []byte `asn1:"explicit,tag:0"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type signerInfo struct {
	Version    int
	Signer     issuerAndSerial
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue
	Algorithm  pkix.AlgorithmIdentifier
	Signature  []byte
}

type signedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Encapsulated encapsulated
	Certificates asn1.RawValue
	Signers      []signerInfo `asn1:"set"`
}

// Timestamp implements tspclient.Timestamper.
func (c clock) Timestamp(_ context.Context, asked *tspclient.Request) (*tspclient.Response, error) {
	info, err := asn1.Marshal(tspclient.TSTInfo{
		Version: 1, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1}, MessageImprint: asked.MessageImprint, SerialNumber: big.NewInt(1),
		GenTime: c.at.UTC().Truncate(time.Second), Accuracy: tspclient.Accuracy{Seconds: 1}, Nonce: asked.Nonce,
	})
	if err != nil {
		return nil, err
	}
	type reference struct{ Hash []byte }
	attributes, err := asn1.MarshalWithParams([]attribute{
		{oidContentType, []any{oidTimestamp}},
		{oidMessageDigest, []any{digestOf(info)}},
		{oidSigningCertificate, []any{struct{ Certificates []reference }{[]reference{{digestOf(c.certificate.Raw)}}}}},
	}, "set")
	if err != nil {
		return nil, err
	}
	made, err := ecdsa.SignASN1(rand.Reader, c.key, digestOf(attributes))
	if err != nil {
		return nil, err
	}
	attributes[0] = 0xa0 // the set, under the name it has in the message
	token, err := asn1.Marshal(contentInfo{oidSignedData, signedData{
		Version: 3, Digests: []pkix.AlgorithmIdentifier{sha256Of}, Encapsulated: encapsulated{oidTimestamp, info},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: c.certificate.Raw},
		Signers: []signerInfo{{
			Version: 1, Signer: issuerAndSerial{asn1.RawValue{FullBytes: c.certificate.RawIssuer}, c.certificate.SerialNumber}, Digest: sha256Of,
			Attributes: asn1.RawValue{FullBytes: attributes}, Algorithm: ecdsaWithSHA256, Signature: made,
		}},
	}})
	return &tspclient.Response{TimestampToken: asn1.RawValue{FullBytes: token}}, err
}
