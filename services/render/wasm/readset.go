package main

import (
	"encoding/json"
	"maps"
	"slices"
)

// A readSet is all of an artifact that a build's result depends on. Of fetched bases the host knows the commits.
type readSet struct {
	files       map[string]bool // looked at: their content counts, or that they are absent or directories
	directories map[string]bool // listed: the names in them count
}

func newReadSet() readSet {
	return readSet{files: map[string]bool{}, directories: map[string]bool{}}
}

func (s readSet) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string][]string{"files": sorted(s.files), "dirs": sorted(s.directories)})
}

func sorted(set map[string]bool) []string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(set)), func(name string) bool { return folderOf(name) != "" })
	if len(names) == 0 {
		return []string{}
	}
	return names
}
