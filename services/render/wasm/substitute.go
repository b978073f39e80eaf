package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"sigs.k8s.io/yaml"
)

// A substituteRequest puts values of variables into objects: each is written as YAML, `${…}` in the text is evaluated,
// and the result is read as YAML again, so that a value may become a number or a list (docs/spec/substitution.md).
type substituteRequest struct {
	Objects   []json.RawMessage `json:"objects"`
	Variables map[string]string `json:"variables"`
	// A variable that has neither value nor default is an error.
	Strict bool `json:"strict"`
}

// The head of an object: what is needed to name it, and to leave it alone.
type objectHead struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name        string         `json:"name"`
		Labels      map[string]any `json:"labels"`
		Annotations map[string]any `json:"annotations"`
	} `json:"metadata"`
}

const (
	substituteKey      = "kustomize.toolkit.fluxcd.io/substitute"
	substituteDisabled = "disabled"
)

const variablePattern = "^[_[:alpha:]][_[:alpha:][:digit:]]*$"

var variableName = regexp.MustCompile(variablePattern)

func (r substituteRequest) run() []byte {
	for _, name := range slices.Sorted(maps.Keys(r.Variables)) {
		if !variableName.MatchString(name) {
			return failure{Code: "build", Message: readable(
				fmt.Sprintf("'%s' var name is invalid, must match '%s'", name, variablePattern))}.reply()
		}
	}
	reply := bytes.NewBufferString(`{"objects":[`)
	for i, object := range r.Objects {
		substituted, err := r.substitute(object)
		if err != nil {
			return failure{Code: "build", Message: readable(err.Error())}.reply()
		}
		if i > 0 {
			reply.WriteByte(',')
		}
		reply.Write(substituted)
	}
	reply.WriteString("]}")
	return reply.Bytes()
}

func (r substituteRequest) substitute(object json.RawMessage) ([]byte, error) {
	if !bytes.ContainsRune(object, '$') {
		return object, nil
	}
	var head objectHead
	if err := json.Unmarshal(object, &head); err != nil {
		return object, nil // not a Kubernetes object: said so later
	}
	if head.Metadata.Labels[substituteKey] == substituteDisabled ||
		head.Metadata.Annotations[substituteKey] == substituteDisabled {
		return object, nil
	}
	substituted, err := r.evaluate(object)
	if err != nil {
		return nil, fmt.Errorf("post build failed for '%s/%s': %w", head.Kind, head.Metadata.Name, err)
	}
	return substituted, nil
}

func (r substituteRequest) evaluate(object json.RawMessage) (result []byte, err error) {
	defer func() {
		if recover() != nil { // what it says may hold a value
			err = errors.New("variable substitution failed")
		}
	}()
	text, err := yaml.JSONToYAML(object)
	if err != nil {
		return nil, errors.New("it cannot be written as YAML")
	}
	evaluated, err := envsubst.Eval(string(text), func(name string) (string, bool) {
		value, exists := r.Variables[name]
		return value, exists || !r.Strict
	})
	if err != nil {
		return nil, fmt.Errorf("variable substitution failed: %w", err)
	}
	result, err = yaml.YAMLToJSON([]byte(evaluated))
	if err != nil {
		return nil, errors.New("after variable substitution it is not YAML" + withoutContent(err))
	}
	if !bytes.HasPrefix(bytes.TrimSpace(result), []byte("{")) {
		return nil, errors.New("after variable substitution it is not an object")
	}
	return result, nil
}

// What a YAML parser says that quotes nothing of the text, which may hold secrets.
var plainComplaints = []string{
	"mapping values are not allowed in this context",
	"did not find expected key",
	"did not find expected node content",
	"did not find expected '-' indicator",
	"did not find expected ',' or '}'",
	"did not find expected ',' or ']'",
	"could not find expected ':'",
	"found character that cannot start any token",
	"found unexpected end of stream",
	"found unknown escape character",
	"control characters are not allowed",
	"document contains excessive aliasing",
}

func withoutContent(err error) string {
	for _, complaint := range plainComplaints {
		if strings.Contains(err.Error(), complaint) {
			return ": " + complaint
		}
	}
	return ""
}
