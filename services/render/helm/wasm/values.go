package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"
)

type valuesRequest struct {
	Sources []valuesSource `json:"sources"`
	Inline  map[string]any `json:"inline"`
}

type valuesSource struct {
	Text       string `json:"text"`
	TargetPath string `json:"targetPath"`
	Literal    bool   `json:"literal"`
	Secret     bool   `json:"secret"`
	Subject    string `json:"subject"`
}

type composed struct {
	Text         string   `json:"text"`
	Digest       string   `json:"digest"`
	Confidential []string `json:"confidential"`
}

// run merges in the order of Flux's controller. The inline values go in before each single value is set, and again at the end;
// maps are shared, not copied, on the way: which of the two wins where follows from that (flux.md 2.7.1).
func (r valuesRequest) run() (any, error) {
	result := map[string]any{}
	secrets := map[string]bool{}
	for _, source := range r.Sources {
		if source.TargetPath != "" {
			result = loader.MergeMaps(result, r.Inline)
			if err := source.setInto(result); err != nil {
				return nil, failure{"values", fmt.Sprintf("%s: spec.valuesFrom with targetPath %q: %s", source.Subject, source.TargetPath, source.safe(err))}
			}
			if source.Secret {
				addLeaf(secrets, strings.Trim(source.Text, `'"`))
			}
			continue
		}
		values, err := common.ReadValues([]byte(source.Text))
		if err != nil {
			return nil, failure{"values", fmt.Sprintf("%s: not YAML with a map of values: %s", source.Subject, source.safe(err))}
		}
		if source.Secret {
			addLeaves(secrets, map[string]any(values))
		}
		result = loader.MergeMaps(result, values)
	}
	result = loader.MergeMaps(result, r.Inline)
	text, err := json.Marshal(typedValues(result))
	if err != nil {
		return nil, failure{"values", "they cannot be written as JSON: a number that is not finite"}
	}
	confidential := make([]string, 0, len(secrets))
	for leaf := range secrets {
		confidential = append(confidential, leaf)
	}
	sort.Strings(confidential)
	return composed{string(text), valuesDigest(result), confidential}, nil
}

func (s valuesSource) setInto(values map[string]any) (err error) {
	defer func() {
		if reason := recover(); reason != nil { // Helm's parser over a path that it did not foresee
			err = fmt.Errorf("not a path that can be set")
		}
	}()
	if s.Literal {
		return strvals.ParseLiteralInto(s.TargetPath+"="+s.Text, values)
	}
	for _, quote := range []string{"'", `"`} {
		if strings.HasPrefix(s.Text, quote) && strings.HasSuffix(s.Text, quote) {
			return strvals.ParseIntoString(s.TargetPath+"="+strings.Trim(s.Text, `'"`), values)
		}
	}
	return strvals.ParseInto(s.TargetPath+"="+s.Text, values)
}

// safe is what may be said of an error: a parser may quote what it read.
func (s valuesSource) safe(err error) string {
	if s.Secret {
		return "not said here, because it is read from a Secret"
	}
	return err.Error()
}

func addLeaves(leaves map[string]bool, value any) {
	switch is := value.(type) {
	case map[string]any:
		for _, item := range is {
			addLeaves(leaves, item)
		}
	case []any:
		for _, item := range is {
			addLeaves(leaves, item)
		}
	case string:
		addLeaf(leaves, is)
	}
}

func addLeaf(leaves map[string]bool, text string) {
	if text != "" {
		leaves[text] = true
	}
}

// valuesDigest is Flux's (fluxcd/pkg chartutil): of nothing when there are no values.
func valuesDigest(values map[string]any) string {
	digest := sha256.New()
	if len(values) > 0 {
		sorted := yaml.JSONObjectToYAMLObject(values)
		sortByKey(sorted)
		if err := goyaml.NewEncoder(digest).Encode(sorted); err != nil {
			return ""
		}
	}
	return "sha256:" + hex.EncodeToString(digest.Sum(nil))
}

func sortByKey(value any) {
	switch is := value.(type) {
	case goyaml.MapSlice:
		sort.Slice(is, func(i, j int) bool { return is[i].Key.(string) < is[j].Key.(string) })
		for _, item := range is {
			sortByKey(item.Value)
		}
	case []any:
		for _, item := range is {
			if _, isMap := item.(goyaml.MapSlice); isMap {
				sortByKey(item)
			}
		}
	}
}
