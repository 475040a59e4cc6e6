package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Recording is the outcome of one run of this program: all that the table needs.
type Recording struct {
	Quick     bool        `json:"quick,omitempty"`
	Command   string      `json:"command"`
	Date      time.Time   `json:"date"`
	Seconds   float64     `json:"seconds"`
	Commit    string      `json:"commit"`
	Machine   Machine     `json:"machine"`
	Go        string      `json:"go"`
	Collector string      `json:"collector,omitempty"` // the rival's version
	Rows      []RowResult `json:"rows"`
}

// Machine is what the figures depend on.
type Machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Processors int    `json:"gomaxprocs"` // of every process
	Platform   string `json:"platform"`
	Kernel     string `json:"kernel"`
	FileSystem string `json:"file_system"` // that logs are on
	LoadBefore string `json:"load_before"` // load average before the first run
	LoadAfter  string `json:"load_after"`
}

// RowResult is a row with what its contenders measured.
type RowResult struct {
	Description
	Contenders []ContenderResult `json:"contenders"`
}

// ContenderResult is what one contender's runs measured, in their order.
type ContenderResult struct {
	Name    string    `json:"name"`
	Ours    bool      `json:"ours,omitempty"`
	Skipped string    `json:"skipped,omitempty"` // why it did not run
	Failed  string    `json:"failed,omitempty"`
	Runs    []Metrics `json:"runs,omitempty"`
}

func newRecording(b *bed) *Recording {
	rec := &Recording{
		Quick:   b.quick,
		Command: strings.Join(append([]string{"go run ./daemon"}, os.Args[1:]...), " "),
		Date:    time.Now().UTC().Truncate(time.Second),
		Commit:  commit(),
		Go:      runtime.Version(),
		Machine: Machine{
			CPU: cpuModel(), Cores: runtime.NumCPU(), Processors: processors(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
			Kernel: firstLine("/proc/sys/kernel/osrelease"), FileSystem: fileSystem(b.dir), LoadBefore: firstLine("/proc/loadavg"),
		},
	}
	if b.otelcol != "" {
		rec.Collector = collectorVersion(b.otelcol)
	}
	return rec
}

func (rec *Recording) finish() {
	rec.Seconds = time.Since(rec.Date).Round(time.Second).Seconds()
	rec.Machine.LoadAfter = firstLine("/proc/loadavg")
}

// collectorVersion is that of the Collector's own modules in the program.
func collectorVersion(program string) string {
	out, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		return "of unknown version"
	}
	for line := range bytes.Lines(out) {
		if f := strings.Fields(string(line)); len(f) > 2 && f[1] == "go.opentelemetry.io/collector/service" {
			return strings.TrimPrefix(f[2], "v")
		}
	}
	return "of unknown version"
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	c := strings.TrimSpace(string(out))
	if out, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err != nil || len(out) > 0 {
		c += " with changes"
	}
	return c
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // other systems have none
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(line)
}

func readRecording(path string) (*Recording, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rec := new(Recording)
	if err := json.Unmarshal(b, rec); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return rec, nil
}

func (rec *Recording) write(path string) error {
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
