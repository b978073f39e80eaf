//go:build wasip1

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/notaryproject/notation-core-go/revocation/purpose"
	_ "github.com/notaryproject/notation-core-go/signature/cose"
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type request struct {
	// What the Secret holds: trustpolicy.json, and the certificates, PEM or DER.
	Policy       string   `json:"policy"`
	Certificates [][]byte `json:"certificates"`
	// host/path@digest: the scopes of the policy are about it.
	Reference string             `json:"reference"`
	Artifact  ocispec.Descriptor `json:"artifact"`
	// Absent: only whether the policy wants any.
	Signature *envelope `json:"signature"`
	// What was asked for before.
	Answers []answered `json:"answers"`
}

type envelope struct {
	MediaType string `json:"mediaType"`
	Blob      []byte `json:"blob"`
}

// reply: one of the verdict, the failure, and what has to be asked before there is one.
type reply struct {
	Verdict string   `json:"verdict,omitempty"`
	Failure *failure `json:"failure,omitempty"`
	Asks    []ask    `json:"asks,omitempty"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

const (
	verified = "verified"
	// The policy lets it through, and does not vouch for it.
	ignored = "ignored"
	// Signatures are wanted.
	wanted = "wanted"
)

func (r request) verify() reply {
	context := context.Background()
	policy, err := r.readPolicy()
	if err != nil {
		return reply{Failure: &failure{"policy", err.Error()}}
	}
	signers := &servers{answers: r.Answers, mayAsk: r.counts(policy, trustpolicy.TypeRevocation)}
	clocks := &servers{answers: r.Answers, mayAsk: r.counts(policy, trustpolicy.TypeAuthenticTimestamp)}
	made, err := verifier.NewWithOptions(policy, trusted(r.Certificates), nil, verifier.VerifierOptions{
		RevocationCodeSigningValidator:  signers.validator(purpose.CodeSigning),
		RevocationTimestampingValidator: clocks.validator(purpose.Timestamping),
	})
	if err != nil {
		return reply{Failure: &failure{"policy", err.Error()}}
	}
	options := notation.VerifierVerifyOptions{ArtifactReference: r.Reference}
	skip, _, err := made.(skipper).SkipVerify(context, options)
	if err != nil {
		return reply{Failure: &failure{"policy", err.Error()}}
	}
	if skip {
		return reply{Verdict: ignored}
	}
	if r.Signature == nil {
		return reply{Verdict: wanted}
	}
	options.SignatureMediaType = r.Signature.MediaType
	outcome, err := made.Verify(context, r.Artifact, r.Signature.Blob, options)
	if asks := append(clocks.asks, signers.asks...); len(asks) > 0 {
		return reply{Asks: asks}
	}
	if err != nil {
		return reply{Failure: &failure{"signature", err.Error()}}
	}
	return reply{Verdict: verdictOf(outcome)}
}

type skipper interface {
	SkipVerify(context.Context, notation.VerifierVerifyOptions) (bool, *trustpolicy.VerificationLevel, error)
}

// As source-controller reads it: where nothing is verified nothing need be trusted (internal/oci/notation CleanTrustPolicy).
func (r request) readPolicy() (*trustpolicy.Document, error) {
	var policy trustpolicy.Document
	if err := json.Unmarshal([]byte(r.Policy), &policy); err != nil {
		return nil, errors.New("trustpolicy.json cannot be read") // what it says instead may be a secret
	}
	for i, statement := range policy.TrustPolicies {
		if statement.SignatureVerification.VerificationLevel == trustpolicy.LevelSkip.Name {
			policy.TrustPolicies[i].TrustStores = []string{}
			policy.TrustPolicies[i].TrustedIdentities = []string{}
		}
	}
	return &policy, nil
}

// counts: whether what is found out changes anything, of a signer who is trusted. Nobody else may have us ask somebody.
func (r request) counts(policy *trustpolicy.Document, found trustpolicy.ValidationType) bool {
	statement, err := policy.GetApplicableTrustPolicy(r.Reference)
	if err != nil {
		return false
	}
	level, err := statement.SignatureVerification.GetVerificationLevel()
	if err != nil {
		return false
	}
	enforced := func(one trustpolicy.ValidationType) bool { return level.Enforcement[one] == trustpolicy.ActionEnforce }
	return enforced(trustpolicy.TypeAuthenticity) && enforced(found)
}

// As source-controller judges it (internal/oci/notation checkOutcome): what was let through in spite of a stranger's
// signature is not verified.
func verdictOf(outcome *notation.VerificationOutcome) string {
	for _, result := range outcome.VerificationResults {
		if result.Error != nil && result.Type == trustpolicy.TypeAuthenticity {
			return ignored
		}
	}
	return verified
}

// Every certificate of the Secret is in every trust store, as in source-controller.
type trusted [][]byte

func (t trusted) GetCertificates(_ context.Context, _ truststore.Type, _ string) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for i, data := range t {
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes
		}
		certificates, err := x509.ParseCertificates(data) // whose last byte may well be that of a space
		if err != nil {
			certificates, err = x509.ParseCertificates(bytes.TrimSpace(data))
		}
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the Secret cannot be read", i+1)
		}
		found = append(found, certificates...)
	}
	return found, nil
}
