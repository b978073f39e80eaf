// An SSH server whose host key is a certificate, which the library of ssh-server.ts cannot show: `git upload-pack` for whoever
// has an authorized key.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"golang.org/x/crypto/ssh"
)

var command = regexp.MustCompile(`^git-upload-pack '/?([A-Za-z0-9._/-]+)'$`)

func main() {
	dir := flag.String("dir", "", "folder of bare repositories")
	key := flag.String("key", "", "file of the host's private key")
	certificate := flag.String("certificate", "", "file of its certificate, as ssh-keygen writes it")
	authorized := flag.String("authorized", "", "file of one public key")
	flag.Parse()
	known := public(*authorized)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, shown ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(shown.Marshal(), known.Marshal()) {
			return nil, fmt.Errorf("not authorized")
		}
		return &ssh.Permissions{}, nil
	}}
	signer, err := ssh.ParsePrivateKey(read(*key))
	check(err)
	config.AddHostKey(certified{signer.(ssh.AlgorithmSigner), public(*certificate)})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("serving on port %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		check(err)
		go serve(connection, config, *dir)
	}
}

// certified shows any certificate, also one of another key than it signs with.
type certified struct {
	ssh.AlgorithmSigner
	certificate ssh.PublicKey
}

func (c certified) PublicKey() ssh.PublicKey { return c.certificate }

func serve(raw net.Conn, config *ssh.ServerConfig, dir string) {
	connection, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	defer connection.Close()
	go ssh.DiscardRequests(requests)
	for wanted := range channels {
		channel, asked, err := wanted.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range asked {
				var line struct{ Value string }
				found := []string(nil)
				if request.Type == "exec" && ssh.Unmarshal(request.Payload, &line) == nil {
					found = command.FindStringSubmatch(line.Value)
				}
				_ = request.Reply(found != nil, nil)
				if found != nil {
					go run(channel, filepath.Join(dir, filepath.Clean("/"+found[1])))
				}
			}
		}()
	}
}

func run(channel ssh.Channel, repository string) {
	git := exec.Command("git", "upload-pack", repository)
	git.Stdout, git.Stderr = channel, channel.Stderr()
	input, err := git.StdinPipe()
	check(err)
	go func() {
		_, _ = io.Copy(input, channel)
		_ = input.Close()
	}()
	status := struct{ Code uint32 }{}
	if git.Run() != nil {
		status.Code = 1
	}
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
	_ = channel.Close()
}

func public(file string) ssh.PublicKey {
	key, _, _, _, err := ssh.ParseAuthorizedKey(read(file))
	check(err)
	return key
}

func read(file string) []byte {
	bytes, err := os.ReadFile(file)
	check(err)
	return bytes
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
