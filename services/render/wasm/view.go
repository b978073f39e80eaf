package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// mount is where kustomize sees an artifact's root. It is not "/", so that a path that leaves the artifact can be told
// from one that does not. Messages never show it: see readable.
const mount = "/.artifact"

// Fetched bases lie beside it, each repository in a folder of its own. In the tree they are under a name that no file of
// an artifact can have, and that is in no listing.
const (
	basesMount  = "/.bases"
	basesFolder = "\x00bases"
)

var (
	errOutside  = errors.New("outside the source")
	errReadOnly = errors.New("read-only file system")
)

// A view is an artifact as one build sees it: with the amended kustomization file laid over it, and every look noted.
type view struct {
	tree    *artifact
	overlay map[string][]byte
	laid    map[string][]byte // of the artifact's files those that are seen decrypted
	fetches bool              // whether the host fetches bases
	bases   map[string]fetchedBase
	seen    readSet
}

var _ filesys.FileSystem = &view{}

func newView(tree *artifact) *view {
	return &view{tree: tree, overlay: map[string][]byte{}, seen: newReadSet()}
}

// within turns a path of kustomize's into one relative to the artifact's root.
func within(name string) (string, error) {
	clean := path.Clean(name)
	if !path.IsAbs(clean) {
		clean = path.Join(mount, clean)
	}
	if clean == mount {
		return "", nil
	}
	if inBases, isThere := strings.CutPrefix(clean, basesMount+"/"); isThere {
		return basesFolder + "/" + inBases, nil
	}
	relative, inside := strings.CutPrefix(clean, mount+"/")
	if !inside {
		return "", errOutside
	}
	return relative, nil
}

// absolute is within's way back.
func absolute(relative string) string {
	if inBases, isThere := strings.CutPrefix(relative, basesFolder+"/"); isThere {
		return path.Join(basesMount, inBases)
	}
	return path.Join(mount, relative)
}

// folderOf names the fetched repository that a path lies in; "" for the artifact.
func folderOf(relative string) string {
	inBases, isThere := strings.CutPrefix(relative, basesFolder+"/")
	if !isThere {
		return ""
	}
	folder, _, _ := strings.Cut(inBases, "/")
	return folder
}

type kind int

const (
	absent kind = iota
	file
	directory
)

func (v *view) kindOf(relative string) kind {
	if _, laid := v.overlay[relative]; laid {
		return file
	}
	v.seen.files[relative] = true
	return v.tree.kindOf(relative)
}

func (tree *artifact) kindOf(relative string) kind {
	if _, isFile := tree.files[relative]; isFile {
		return file
	}
	if _, isDirectory := tree.directories[relative]; isDirectory {
		return directory
	}
	return absent
}

func (v *view) Exists(name string) bool {
	relative, err := within(name)
	return err == nil && v.kindOf(relative) != absent
}

func (v *view) IsDir(name string) bool {
	relative, err := within(name)
	return err == nil && v.kindOf(relative) == directory
}

func (v *view) ReadFile(name string) ([]byte, error) {
	relative, err := within(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	content, err := v.read(relative)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if err := refuseBomb(content); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	if slices.Contains(kustomizationNames, path.Base(relative)) {
		content = v.withBases(relative, content)
	}
	return slices.Clone(content), nil
}

func (v *view) read(relative string) ([]byte, error) {
	if content, laid := v.overlay[relative]; laid {
		return content, nil
	}
	v.seen.files[relative] = true
	if content, isLaid := v.laid[relative]; isLaid {
		return content, nil
	}
	if content, isFile := v.tree.files[relative]; isFile {
		return content, nil
	}
	if v.tree.kindOf(relative) == directory {
		return nil, errors.New("is a directory")
	}
	return nil, errors.New("no such file or directory")
}

func (v *view) ReadDir(name string) ([]string, error) {
	relative, err := within(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	v.seen.directories[relative] = true
	names, known := v.tree.directories[relative]
	if !known {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("no such directory")}
	}
	return slices.Clone(names), nil
}

// CleanedAbs splits a path into an existing directory and, unless the path is that directory, a file's name.
func (v *view) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	relative, err := within(name)
	if err != nil {
		return "", "", &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	at := absolute(relative)
	switch v.kindOf(relative) {
	case directory:
		return filesys.ConfirmedDir(at), "", nil
	case file:
		return filesys.ConfirmedDir(path.Dir(at)), path.Base(at), nil
	default:
		return "", "", &fs.PathError{Op: "stat", Path: at, Err: errors.New("no such file or directory")}
	}
}

// Walk visits in the order of filepath.Walk: a directory before its entries, entries by name.
func (v *view) Walk(root string, visit filepath.WalkFunc) error {
	relative, err := within(root)
	if err != nil {
		return visit(root, nil, err)
	}
	err = v.walk(absolute(relative), relative, visit)
	if err == filepath.SkipDir || err == filepath.SkipAll {
		return nil
	}
	return err
}

func (v *view) walk(at, relative string, visit filepath.WalkFunc) error {
	kind := v.tree.kindOf(relative)
	err := visit(at, entry{name: path.Base(at), directory: kind == directory, size: len(v.tree.files[relative])}, nil)
	if kind != directory || err != nil {
		if kind == directory && err == filepath.SkipDir {
			return nil
		}
		return err
	}
	names, err := v.ReadDir(at)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch err := v.walk(path.Join(at, name), path.Join(relative, name), visit); err {
		case nil:
		case filepath.SkipDir: // said of a file: leave the rest of its directory
			return nil
		default:
			return err
		}
	}
	return nil
}

type entry struct {
	name      string
	directory bool
	size      int
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return int64(e.size) }
func (e entry) ModTime() time.Time { return time.Time{} }
func (e entry) IsDir() bool        { return e.directory }
func (e entry) Sys() any           { return nil }
func (e entry) Mode() os.FileMode {
	if e.directory {
		return os.ModeDir | 0o755
	}
	return 0o644
}

// Nothing that builds with built-in plugins writes, opens a stream or globs.
func (v *view) Create(string) (filesys.File, error)   { return nil, errReadOnly }
func (v *view) Open(string) (filesys.File, error)     { return nil, errReadOnly }
func (v *view) Glob(pattern string) ([]string, error) { return nil, errors.New("no globs: " + pattern) }
func (v *view) Mkdir(string) error                    { return errReadOnly }
func (v *view) MkdirAll(string) error                 { return errReadOnly }
func (v *view) RemoveAll(string) error                { return errReadOnly }
func (v *view) WriteFile(string, []byte) error        { return errReadOnly }
