package main

import (
	"iter"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// A textEdit puts text in place of what lies between two offsets of a file in which CRLF counts as one.
type textEdit struct {
	from, to int
	text     string
}

func applyEdits(original string, edits []textEdit) string {
	slices.SortFunc(edits, func(a, b textEdit) int { return a.from - b.from })
	var out strings.Builder
	at, here, kept := 0, 0, 0 // here in the original is at; up to kept everything is written
	advance := func(to int) {
		for ; at < to; at++ {
			if strings.HasPrefix(original[here:], "\r\n") {
				here++
			}
			here++
		}
	}
	for _, edit := range edits {
		advance(edit.from)
		out.WriteString(original[kept:here])
		advance(edit.to)
		out.WriteString(edit.text)
		kept = here
	}
	out.WriteString(original[kept:])
	return out.String()
}

// edits put a node's value in place of the text it was read from. Whether they do is for sameBut to find out: a line may end
// where nobody thinks of it.
func (d *yamlDocument) edits(node *yaml.Node, old string) []textEdit {
	from := d.valueAt(node)
	replace := func(to int, text string) []textEdit {
		return []textEdit{{d.start + from, d.start + to, text}}
	}
	rest := d.text[from:]
	switch {
	case node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return d.editBlock(node.Value, from)
	case node.Style&yaml.DoubleQuotedStyle != 0:
		return replace(from+len(doubleQuoted.FindString(rest)), scalarText(node.Value, yaml.DoubleQuotedStyle))
	case node.Style&yaml.SingleQuotedStyle != 0:
		return replace(from+len(singleQuoted.FindString(rest)), scalarText(node.Value, yaml.SingleQuotedStyle))
	case old == "":
		return replace(from, " "+scalarText(node.Value, 0))
	}
	return replace(from+plainLength(rest, old), scalarText(node.Value, 0))
}

var (
	doubleQuoted = regexp.MustCompile(`^"(?:[^"\\]|\\(?s:.))*"`)
	singleQuoted = regexp.MustCompile(`^'(?:[^']|'')*'`)
	properties   = regexp.MustCompile(`^(?:[&!]\S*\s+(?:#.*\n\s*)*)+`)
	blockHeader  = regexp.MustCompile(`^[|>][1-9]?([+-]?)[1-9]?.*\n((?: *\n)*)( *)`)
)

// scalarText is a string as it is written: in quotes of its own where it would be read as something else.
func scalarText(value string, style yaml.Style) string {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: value, Style: style}
	yaml.FormatNonStringStyle(node, *spec.StringProperty())
	text, err := yaml.Marshal(node)
	if err != nil {
		return "" // sameBut refuses it
	}
	return strings.TrimSuffix(string(text), "\n")
}

// plainLength is how far a value without quotes goes, however it is broken into lines.
func plainLength(text, value string) int {
	at := 0
	for _, word := range strings.Fields(value) {
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\r\n"))
		at = min(at+len(word), len(text))
	}
	return at
}

// editBlock keeps the block and its indentation, and takes the line break off its end.
func (d *yamlDocument) editBlock(value string, from int) []textEdit {
	header := blockHeader.FindStringSubmatchIndex(d.text[from:])
	if header == nil {
		return nil // sameBut refuses it
	}
	begin, indent := from+header[6], header[7]-header[6]
	to := begin
	for at, line := range lines(d.text[begin:]) {
		if content := strings.TrimLeft(line, " "); content != "" && len(line)-len(content) < indent {
			break
		} else if content != "" {
			to = begin + at + len(line)
		}
	}
	return []textEdit{
		{d.start + from + header[2], d.start + from + header[3], "-"},
		{d.start + from + header[4], d.start + to, strings.Repeat(" ", indent) + value},
	}
}

// lines gives each line without its end, and where it begins.
func lines(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		at := 0
		for line := range strings.SplitSeq(text, "\n") {
			if !yield(at, line) {
				return
			}
			at += len(line) + 1
		}
	}
}

// valueAt is where a value begins, behind its anchor and tag. Lines and columns are those of the parser: it takes more
// for the end of a line than LF, and counts characters.
func (d *yamlDocument) valueAt(node *yaml.Node) int {
	if d.lines == nil {
		d.lines = append(d.lines, len(d.text)-len(strings.TrimPrefix(d.text, "\ufeff")))
		for _, end := range lineEnd.FindAllStringIndex(d.text, -1) {
			d.lines = append(d.lines, end[1])
		}
	}
	at := d.lines[min(node.Line, len(d.lines))-1]
	for column := 1; column < node.Column && at < len(d.text); column++ {
		_, size := utf8.DecodeRuneInString(d.text[at:])
		at += size
	}
	if node.Anchor != "" || node.Style&yaml.TaggedStyle != 0 {
		at += len(properties.FindString(d.text[at:]))
	}
	return at
}

var lineEnd = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")
