package main

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// A messageRequest is the template of a commit message, and what it is about.
type messageRequest struct {
	Template   string            `json:"template"`
	Automation namespacedName    `json:"automation"`
	Changes    []setterChange    `json:"changes"`
	Values     map[string]string `json:"values"`
}

// templateData has the names of image-automation-controller internal/source/source.go, which templates use.
type templateData struct {
	AutomationObject namespacedName
	Changed          updateResult
	Values           map[string]string
}

type namespacedName struct{ Namespace, Name string }

func (n namespacedName) String() string { return n.Namespace + "/" + n.Name }

// updateResult and the types within have the names and methods of image-automation-controller internal/update/result.go.
type updateResult struct {
	FileChanges map[string]objectChanges
	changes     []valueChange
}

type objectChanges map[objectIdentifier][]valueChange

type objectIdentifier struct{ yaml.ResourceIdentifier }

type valueChange struct{ OldValue, NewValue, Setter string }

// Changes are all, each once, in the order of files.
func (r updateResult) Changes() []valueChange { return r.changes }

// Objects are what changed of each object, in whichever file it is.
func (r updateResult) Objects() objectChanges {
	all := objectChanges{}
	for _, objects := range r.FileChanges {
		for object, changes := range objects {
			all[object] = append(all[object], changes...)
		}
	}
	return all
}

func resultOf(changes []setterChange) updateResult {
	result := updateResult{FileChanges: map[string]objectChanges{}}
	seen := map[valueChange]bool{}
	for _, c := range changes {
		id := objectIdentifier{yaml.ResourceIdentifier{
			TypeMeta: yaml.TypeMeta{APIVersion: c.Object.APIVersion, Kind: c.Object.Kind},
			NameMeta: yaml.NameMeta{Name: c.Object.Name, Namespace: c.Object.Namespace},
		}}
		change := valueChange{c.OldValue, c.NewValue, c.Setter}
		if result.FileChanges[c.File] == nil {
			result.FileChanges[c.File] = objectChanges{}
		}
		result.FileChanges[c.File][id] = append(result.FileChanges[c.File][id], change)
		if !seen[change] {
			seen[change] = true
			result.changes = append(result.changes, change)
		}
	}
	return result
}

// longestMessage is far more than anybody reads of a commit.
const longestMessage = 64 * 1024

var errTooLong = errors.New("the message is longer than 64 KiB")

type boundedText struct{ strings.Builder }

func (b *boundedText) Write(text []byte) (int, error) {
	if b.Len()+len(text) > longestMessage {
		return 0, errTooLong
	}
	return b.Builder.Write(text)
}

var removedField = regexp.MustCompile(`can't evaluate field (Updated in type main\.templateData|ImageResult in type main\.updateResult)`)

func (r messageRequest) run() (reply []byte) {
	parsed, err := template.New("commit message").Funcs(sprig.HermeticTxtFuncMap()).Parse(r.Template)
	if err != nil {
		return failure{Code: "message", Message: readable(err.Error())}.reply()
	}
	var text boundedText
	err = parsed.Execute(&text, templateData{r.Automation, resultOf(r.Changes), r.Values})
	if errors.Is(err, errTooLong) {
		err = errTooLong
	}
	if err != nil {
		code := "message"
		if removedField.MatchString(err.Error()) {
			code = "removed"
		}
		return failure{Code: code, Message: readable(err.Error())}.reply()
	}
	reply, err = json.Marshal(map[string]string{"message": text.String()})
	if err != nil {
		return failure{Code: "request", Message: err.Error()}.reply()
	}
	return reply
}
