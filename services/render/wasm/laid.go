package main

// Files that the next build sees instead of the artifact's: decrypted ones. They come packed as an artifact.
var laid = map[string][]byte{}

// wipeLaid forgets them, contents and all.
func wipeLaid() {
	for _, content := range laid {
		clear(content)
	}
	laid = map[string][]byte{}
}
