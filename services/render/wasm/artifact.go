package main

import (
	"path"
	"sort"
)

// The artifacts that builds may read, by digest.
var artifacts = map[string]*artifact{}

type artifactHeader struct {
	Digest string         `json:"digest"`
	Files  []artifactFile `json:"files"`
	// Directories that hold no file are listed here; the others follow from the files.
	Directories []string `json:"directories"`
}

type artifactFile struct {
	Path string `json:"path"`
	Size int    `json:"size"`
}

// An artifact is a tree of files that never changes. Paths are relative to its root, which is "".
type artifact struct {
	files       map[string][]byte
	directories map[string][]string // sorted names
}

func newArtifact(header artifactHeader, contents []byte) *artifact {
	tree := &artifact{files: map[string][]byte{}, directories: map[string][]string{"": {}}}
	for _, file := range header.Files {
		tree.files[file.Path] = contents[:file.Size:file.Size]
		contents = contents[file.Size:]
		tree.addName(file.Path)
	}
	for _, directory := range header.Directories {
		tree.addDirectory(directory)
	}
	for _, names := range tree.directories {
		sort.Strings(names)
	}
	return tree
}

func (tree *artifact) addDirectory(directory string) {
	if _, known := tree.directories[directory]; known {
		return
	}
	tree.directories[directory] = []string{}
	tree.addName(directory)
}

func (tree *artifact) addName(name string) {
	if name == basesFolder {
		return // beside the root, not in it
	}
	parent := path.Dir(name)
	if parent == "." {
		parent = ""
	}
	tree.addDirectory(parent)
	tree.directories[parent] = append(tree.directories[parent], path.Base(name))
}
