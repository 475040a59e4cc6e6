package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script is a program in sdks/ that makes spans by an official SDK and sends them. Its
// SDK is where scripts/install-sdks puts it.
type script struct {
	name      string   // of the SDK, in the matrix
	dir       string   // below sdks/ and below the place of the installed ones
	lock      string   // names every version, and is put beside them at the end
	command   []string // PLACE stands for the place
	env       []string
	protocols []string
	retrying  string   // what it prints when an export is to be tried again
	retries   []string // protocols by which it does that
}

var (
	javaScript = script{
		name: "JavaScript SDK", dir: "javascript", lock: "package-lock.json",
		command:   []string{"node", "sdks/javascript/send.js"},
		env:       []string{"NODE_PATH=PLACE/node_modules", "OTEL_EXPORTER_OTLP_TIMEOUT=30000"}, // milliseconds
		protocols: []string{overGRPC, overHTTP, overJSON},
		retrying:  "Scheduling export retry",
		retries:   []string{overHTTP, overJSON}, // its gRPC exporter does not

	}
	python = script{
		name: "Python SDK", dir: "python", lock: "requirements.txt",
		command:   []string{"PLACE/bin/python", "sdks/python/send.py"},
		env:       []string{"OTEL_EXPORTER_OTLP_TIMEOUT=30"}, // seconds, whatever the specification says
		protocols: []string{overGRPC, overHTTP, overJSON},
		retrying:  "Transient error",
		retries:   []string{overGRPC, overHTTP, overJSON},
	}
)

// spansOfScriptTrace is how many spans a trace of a script has.
const spansOfScriptTrace = 5

// protocolName is what OTEL_EXPORTER_OTLP_PROTOCOL calls it.
var protocolName = map[string]string{overGRPC: "grpc", overHTTP: "http/protobuf", overJSON: "http/json"}

// find returns where the script's SDK is installed. Without it the test is skipped, or
// fails if RINGTAIL_REQUIRE_SDKS is 1.
func (s script) find(t *testing.T) (place string) {
	t.Helper()
	place, err := s.installed()
	switch {
	case err == nil:
		return place
	case os.Getenv("RINGTAIL_REQUIRE_SDKS") == "1":
		t.Fatalf("%s: %v; run scripts/install-sdks", s.name, err)
	default:
		t.Skipf("%s: %v; scripts/install-sdks installs it", s.name, err)
	}
	return ""
}

func (s script) installed() (place string, err error) {
	root := os.Getenv("RINGTAIL_SDKS")
	if root == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", err
			}
			cache = filepath.Join(home, ".cache")
		}
		root = filepath.Join(cache, "ringtail", "sdks")
	}
	place = filepath.Join(root, s.dir)
	there, err := os.ReadFile(filepath.Join(place, s.lock))
	if err != nil {
		return "", fmt.Errorf("it is not installed: %w", err)
	}
	wanted, err := os.ReadFile(filepath.Join("sdks", s.dir, s.lock))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(there, wanted) {
		return "", fmt.Errorf("other versions of it are installed in %s", place)
	}
	if _, err := exec.LookPath(strings.ReplaceAll(s.command[0], "PLACE", place)); err != nil {
		return "", err
	}
	return place, nil
}

// sending is a script that runs.
type sending struct {
	*process
	file   string
	traces int
}

// start runs the script, which sends so many traces to an address.
func (s script) start(t *testing.T, over, compression, address string, traces int) *sending {
	t.Helper()
	place := s.find(t)
	expand := func(text string) string { return strings.ReplaceAll(text, "PLACE", place) }
	run := &sending{file: filepath.Join(t.TempDir(), "sent.json"), traces: traces}
	cmd := exec.Command(expand(s.command[0]), append(s.command[1:len(s.command):len(s.command)], fmt.Sprint(traces), run.file)...)
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_EXPORTER_OTLP_PROTOCOL="+protocolName[over])
	if compression != "none" { // which some SDKs do not know as a word
		cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_COMPRESSION="+compression)
	}
	for _, e := range s.env {
		cmd.Env = append(cmd.Env, expand(e))
	}
	run.process = startCommand(t, s.name, cmd)
	return run
}

// sent waits until the script has ended and returns what a backend has to receive.
// Every export has to have succeeded.
func (s *sending) sent(t *testing.T) spans {
	t.Helper()
	s.wait(t)
	sent := readSpans(t, s.file)
	if n := s.traces * spansOfScriptTrace; len(sent) != n || sent.len() != n {
		t.Fatalf("%s made %d spans, %d of them different, want %d", s.name, sent.len(), len(sent), n)
	}
	return sent
}

// TestScriptsToDaemon sends spans by the SDKs of other languages.
func TestScriptsToDaemon(t *testing.T) {
	skipIfShort(t)
	for _, s := range []script{javaScript, python} {
		t.Run(s.name, func(t *testing.T) {
			s.find(t)
			testRoutes(t, s.name, s.protocols, []string{"none", "gzip"}, func(t *testing.T, d *daemon, over, compression string) spans {
				return s.start(t, over, compression, d.address(over), 20).sent(t)
			})
		})
	}
}
