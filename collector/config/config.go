// Package config reads the daemon's configuration: a file in the layout of the
// OpenTelemetry Collector, of which it knows the parts that exist here.
//
//	receivers:
//	  otlp:
//	    protocols:
//	      grpc: {endpoint: 127.0.0.1:4317}
//	      http: {endpoint: 127.0.0.1:4318}
//	exporters:
//	  otlp_grpc/backend:
//	    endpoint: backend:4317
//	    sending_queue: {storage: file_storage}
//	extensions:
//	  file_storage: {directory: /var/lib/ringtail}
//	service:
//	  extensions: [file_storage]
//	  pipelines:
//	    traces: {receivers: [otlp], exporters: [otlp_grpc/backend]}
//
// Names, defaults and meanings are the Collector's, with one difference that follows
// from the design: a pipeline has one log, with a cursor for each exporter, where the
// Collector has a queue for each exporter. The log is on disk if any exporter of the
// pipeline has a storage, and as large as the largest of their queues. docs/configuration.md
// lists every key.
//
// What this package does not know is an error that says where it stands.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/ringtail-otel/ringtail/collector"
	"github.com/ringtail-otel/ringtail/seglog"
)

// Config is what a daemon is to run.
type Config struct {
	Pipelines []Pipeline
	// Notices tell of parts of the file that are understood and have no effect here.
	Notices []string
}

// Pipeline is a log with what feeds it and what it feeds.
type Pipeline struct {
	ID        string     // "traces", "traces/backup"
	Receivers []Receiver // at least one; each is in one pipeline only
	LogDir    string     // "": in memory
	Log       seglog.Options
	Exporters []Exporter // at least one
}

// Receiver is an OTLP receiver.
type Receiver struct {
	ID     string
	Config collector.Config
}

// Load reads a file and checks it. Errors name the file, the line where there is one, and
// the key.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse is Load for a file's contents.
func Parse(text []byte) (*Config, error) {
	var root yaml.Node
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("is empty")
	}
	if err := yaml.Load(text, &root); err != nil {
		return nil, wording(err)
	}
	if err := expand(&root); err != nil {
		return nil, err
	}
	var f file
	if err := load(&root, &f); err != nil {
		return nil, err
	}
	b := builder{file: &f}
	return b.build()
}

// file is the layout of the top level. Components are looked at when their type is known.
type file struct {
	Receivers  map[string]yaml.Node `yaml:"receivers"`
	Processors map[string]yaml.Node `yaml:"processors"`
	Exporters  map[string]yaml.Node `yaml:"exporters"`
	Extensions map[string]yaml.Node `yaml:"extensions"`
	Connectors map[string]yaml.Node `yaml:"connectors"`
	Service    struct {
		Extensions []string                 `yaml:"extensions"`
		Pipelines  map[string]*pipelineNode `yaml:"pipelines"`
		Telemetry  yaml.Node                `yaml:"telemetry"`
	} `yaml:"service"`
}

type pipelineNode struct {
	Receivers  []string `yaml:"receivers"`
	Processors []string `yaml:"processors"`
	Exporters  []string `yaml:"exporters"`
}

// load reads a node into v; keys that v does not have are errors.
func load(n *yaml.Node, v any) error {
	if n == nil || n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil // "otlp:" with nothing behind it: all defaults
	}
	return wording(n.Load(v, yaml.WithKnownFields()))
}

// wording makes errors of the YAML library ones that speak of configuration: a line for
// each, with what is wrong there.
func wording(err error) error {
	if err == nil {
		return nil
	}
	var all *yaml.LoadErrors
	if !errors.As(err, &all) {
		var one *yaml.LoadError
		if !errors.As(err, &one) {
			return err
		}
		all = &yaml.LoadErrors{Errors: []*yaml.LoadError{one}}
	}
	lines := make([]string, len(all.Errors))
	for i, e := range all.Errors {
		text := unknownKey.ReplaceAllString(e.Message, "there is no key $1 here")
		if e.ContextMsg != "" {
			text = e.ContextMsg + ": " + text
		}
		if line := max(e.Mark.Line, e.ContextMark.Line); line > 0 && !strings.HasPrefix(text, "line ") {
			text = fmt.Sprintf("line %d: %s", line, text)
		}
		lines[i] = text
	}
	return errors.New(strings.Join(lines, "\n"))
}

var unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)

// typeOf returns a component's type: "otlp_grpc" of "otlp_grpc/backend".
func typeOf(id string) string {
	t, _, _ := strings.Cut(id, "/")
	return t
}
