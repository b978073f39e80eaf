package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// marker is what stands in a comment beside a value that is to follow an image (image-automation-controller internal/constants).
const marker = "$imagepolicy"

// A setterRequest holds files that are valid UTF-8, and the value of each setter.
type setterRequest struct {
	Files  map[string]string `json:"files"`
	Values map[string]string `json:"values"`
}

// A setterReply has the files that changed, each whole.
type setterReply struct {
	Files   map[string]string `json:"files"`
	Changes []setterChange    `json:"changes"`
	Notices []setterNotice    `json:"notices"`
}

type setterChange struct {
	File     string       `json:"file"`
	Object   setterObject `json:"object"`
	Setter   string       `json:"setter"`
	OldValue string       `json:"oldValue"`
	NewValue string       `json:"newValue"`
}

type setterObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
}

// A setterNotice is about a marker, or a whole file when Line is 0, that led to nothing.
type setterNotice struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
}

func (r setterRequest) run() []byte {
	reply := setterReply{Files: map[string]string{}, Changes: []setterChange{}, Notices: []setterNotice{}}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		file := setterFile{name: name, values: r.Values}
		text, err := file.update(r.Files[name])
		if err != nil {
			reply.Notices = append(reply.Notices, setterNotice{File: name, Code: "unreadable", Detail: readable(err.Error())})
			continue
		}
		reply.Notices = append(reply.Notices, file.notices...)
		if len(file.changes) > 0 {
			reply.Files[name] = text
			reply.Changes = append(reply.Changes, file.changes...)
		}
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return failure{Code: "request", Message: err.Error()}.reply()
	}
	return text
}

type setterFile struct {
	name    string
	values  map[string]string
	changes []setterChange
	notices []setterNotice
}

// update gives the text with each marked value in its place, and every other byte as it was: what Flux would write had it not
// to lay out the file anew.
func (f *setterFile) update(original string) (string, error) {
	documents, err := splitDocuments(original)
	if err != nil {
		return "", err
	}
	var edits []textEdit
	for i := range documents {
		d := &documents[i]
		if err := d.read(); err != nil {
			return "", err
		}
		if d.node == nil {
			continue
		}
		for _, object := range d.objects(len(documents) == 1) {
			f.visit(d, object, object)
		}
		f.strays(d, d.node)
		if d.more {
			f.notice(d, d.node, "unread", "what follows the first document is not read: begin each with a line ---")
		}
		for node, old := range d.set {
			edits = append(edits, d.edits(node, old)...)
		}
	}
	if len(f.changes) == 0 {
		return original, nil
	}
	updated := applyEdits(original, edits)
	return updated, sameBut(documents, updated)
}

// visit goes the way of image-automation-controller internal/update/filter.go: of several fields with one name the first,
// and not through aliases.
func (f *setterFile) visit(d *yamlDocument, object, node *yaml.Node) {
	switch node.Kind {
	case yaml.DocumentNode, yaml.SequenceNode:
		for _, item := range node.Content {
			f.visit(d, object, item)
		}
	case yaml.MappingNode:
		seen := map[string]bool{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if key := node.Content[i].Value; !seen[key] {
				seen[key] = true
				f.visit(d, object, node.Content[i+1])
			}
		}
	case yaml.ScalarNode:
		f.visitScalar(d, object, node)
	}
}

func (f *setterFile) visitScalar(d *yamlDocument, object, node *yaml.Node) {
	comment := node.LineComment
	if comment == "" {
		comment = node.HeadComment
	}
	if !strings.Contains(comment, marker) {
		return
	}
	d.seen[node] = true
	setter := setterIn(comment)
	if setter == "" {
		if comment == node.LineComment { // above a value, it may be a line that somebody took out
			f.notice(d, node, "malformed", comment)
		}
		return
	}
	value, known := f.values[setter]
	if !known {
		f.notice(d, node, "unknown", setter)
		return
	}
	if node.Value == value {
		return
	}
	f.changes = append(f.changes, setterChange{f.name, identityOf(object), setter, node.Value, value})
	d.set[node] = node.Value
	node.Value = value
}

func (f *setterFile) notice(d *yamlDocument, node *yaml.Node, code, detail string) {
	f.notices = append(f.notices, setterNotice{f.name, d.firstLine + node.Line - 1, code, readable(detail)})
}

// strays tells of markers that are beside nothing that can be set.
func (f *setterFile) strays(d *yamlDocument, node *yaml.Node) {
	if !d.seen[node] {
		for _, line := range strings.Split(node.HeadComment+"\n"+node.LineComment+"\n"+node.FootComment, "\n") {
			if setter := setterIn(line); setter != "" {
				f.notice(d, node, "stray", setter)
			}
		}
	}
	for _, item := range node.Content {
		f.strays(d, item)
	}
}

// setterIn reads a comment as kyaml's fieldmeta does.
func setterIn(comment string) string {
	fields := map[string]string{}
	if json.Unmarshal([]byte(strings.TrimLeft(comment, "#")), &fields) != nil {
		return ""
	}
	return fields[marker]
}

func identityOf(object *yaml.Node) setterObject {
	meta, err := yaml.NewRNode(object).GetMeta()
	if err != nil {
		return setterObject{}
	}
	return setterObject{meta.APIVersion, meta.Kind, meta.Namespace, meta.Name}
}

// A yamlDocument is a part of a file between lines that begin with ---.
type yamlDocument struct {
	text string
	// start is where the text begins in the file with CRLF as LF, firstLine its line there, from 1.
	start     int
	firstLine int
	// node is nil where the part is empty or has no marker.
	node *yaml.Node
	// more: there is something behind the document, which is not read.
	more bool
	// lines are where the parser's lines begin.
	lines []int
	// seen are the values that have a marker, set what those were that are others now.
	seen map[*yaml.Node]bool
	set  map[*yaml.Node]string
}

var documentSeparator = regexp.MustCompile(`\n---.*\n`)

// splitDocuments splits a file as kyaml's kio does before it is parsed.
func splitDocuments(original string) ([]yamlDocument, error) {
	text := strings.ReplaceAll(original, "\r\n", "\n")
	var documents []yamlDocument
	from, line := 0, 1
	add := func(to int) {
		documents = append(documents, yamlDocument{text: text[from:to], start: from, firstLine: line, seen: map[*yaml.Node]bool{}, set: map[*yaml.Node]string{}})
		line += strings.Count(text[from:to], "\n") + 1
	}
	for _, at := range documentSeparator.FindAllStringIndex(text, -1) {
		if rest := strings.TrimSpace(text[at[0]+4 : at[1]]); rest != "" && rest[0] != '#' {
			return nil, fmt.Errorf("invalid document separator: %s", strings.TrimSpace(text[at[0]:at[1]]))
		}
		add(at[0] + 1)
		from = at[1]
	}
	add(len(text))
	return documents, nil
}

func (d *yamlDocument) read() error {
	if !strings.Contains(d.text, marker) {
		return nil
	}
	node := &yaml.Node{}
	decoder := yaml.NewDecoder(strings.NewReader(d.text))
	if err := decoder.Decode(node); err == io.EOF {
		return nil
	} else if err != nil {
		return d.inFile(err)
	}
	if !yaml.IsYNodeEmptyDoc(node) {
		d.node, d.more = node, decoder.Decode(&yaml.Node{}) != io.EOF
	}
	return nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// inFile counts an error's lines from the first of the file.
func (d *yamlDocument) inFile(err error) error {
	found := yamlLine.FindStringSubmatch(err.Error())
	if found == nil {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	line, _ := strconv.Atoi(found[1])
	return fmt.Errorf("line %d: %s", d.firstLine+line-1, err.Error()[len(found[0]):])
}

// objects are what a document holds: of a List that has the file to itself, its items.
func (d *yamlDocument) objects(alone bool) []*yaml.Node {
	root := yaml.NewRNode(d.node)
	meta, _ := root.GetMeta()
	if !alone || (meta.Kind != "List" && meta.Kind != "ResourceList") {
		return []*yaml.Node{d.node}
	}
	items := root.Field("items")
	if items == nil && root.Field("functionConfig") == nil {
		return []*yaml.Node{d.node}
	}
	if items == nil {
		return nil
	}
	return items.Value.YNode().Content
}

// sameBut makes sure that a file reads as its documents do: with the values that were set, and nothing else changed.
func sameBut(documents []yamlDocument, updated string) error {
	now, err := splitDocuments(updated)
	if err != nil || len(now) != len(documents) {
		return errNotInPlace
	}
	for i := range documents {
		was, is := &documents[i], &now[i]
		if len(was.set) == 0 && was.text == is.text {
			continue
		}
		if is.read() != nil || is.node == nil || !sameNode(was.node, is.node, was.set) {
			return errNotInPlace
		}
	}
	return nil
}

var errNotInPlace = errors.New("a marked value cannot be set without changing something else; write it on one line")

func sameNode(want, got *yaml.Node, set map[*yaml.Node]string) bool {
	same := want.Kind == got.Kind && want.Value == got.Value && want.Anchor == got.Anchor && len(want.Content) == len(got.Content) &&
		want.HeadComment == got.HeadComment && want.LineComment == got.LineComment && want.FootComment == got.FootComment
	if !same {
		return false
	}
	if _, isSet := set[want]; isSet {
		return got.Tag == yaml.NodeTagString || want.Style&yaml.TaggedStyle != 0 && want.Tag == got.Tag
	}
	if want.Tag != got.Tag {
		return false
	}
	for i := range want.Content {
		if !sameNode(want.Content[i], got.Content[i], set) {
			return false
		}
	}
	return true
}
