package config

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/ringtail-otel/ringtail/collector"
	"github.com/ringtail-otel/ringtail/seglog"
)

// Exporter is an exporter of a pipeline that is not open yet: a configuration can be
// checked without touching a file or a network.
type Exporter struct {
	ID   string // "otlp_grpc/backend"; the name of its cursor
	To   string // its endpoint or file, for people
	open func(Environment) (collector.ExporterConfig, error)
}

// Environment is what exporters need of the process that they run in.
type Environment struct {
	Logger *slog.Logger
	Out    io.Writer // the debug exporter's
}

// NewExporter is for exporters that no file tells of.
func NewExporter(id, to string, open func(Environment) (collector.ExporterConfig, error)) Exporter {
	return Exporter{ID: id, To: to, open: open}
}

// Open makes the exporter. It does not connect to anything yet.
func (e *Exporter) Open(env Environment) (collector.ExporterConfig, error) {
	c, err := e.open(env)
	c.Name = e.ID
	return c, err
}

// builder makes a Config of a file.
type builder struct {
	file    *file
	notices []string
}

func (b *builder) notice(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(b.notices, text) {
		b.notices = append(b.notices, text)
	}
}

func (b *builder) build() (*Config, error) {
	if len(b.file.Service.Pipelines) == 0 {
		return nil, fmt.Errorf("service::pipelines is empty: want at least one, as in traces: {receivers: [otlp], exporters: [otlp_grpc]}")
	}
	if len(b.file.Connectors) > 0 {
		return nil, fmt.Errorf("connectors: there are none here")
	}
	if b.file.Service.Telemetry.Kind != 0 {
		b.notice("service::telemetry has no effect here")
	}
	storages, err := b.extensions()
	if err != nil {
		return nil, err
	}
	c := &Config{}
	fedBy := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(b.file.Service.Pipelines)) {
		p, err := b.pipeline(id, b.file.Service.Pipelines[id], storages)
		if err != nil {
			return nil, fmt.Errorf("service::pipelines::%s: %w", id, err)
		}
		for _, r := range p.Receivers {
			if other, taken := fedBy[r.ID]; taken {
				return nil, fmt.Errorf("service::pipelines: receiver %s feeds both %s and %s: put the exporters of both into one pipeline; they are independent of one another there, too", r.ID, other, id)
			}
			fedBy[r.ID] = id
		}
		c.Pipelines = append(c.Pipelines, p)
	}
	for _, id := range slices.Sorted(maps.Keys(b.file.Receivers)) {
		if fedBy[id] == "" {
			b.notice("receiver %s is in no pipeline", id)
		}
	}
	c.Notices = b.notices
	return c, nil
}

// extensions returns those that store logs, by id.
func (b *builder) extensions() (map[string]*fileStorage, error) {
	storages := map[string]*fileStorage{}
	for _, id := range b.file.Service.Extensions {
		n, defined := b.file.Extensions[id]
		if !defined {
			return nil, fmt.Errorf("service::extensions: %s is not under extensions; there are %s", id, list(b.file.Extensions))
		}
		switch typeOf(id) {
		case "file_storage":
			s := &fileStorage{}
			if err := load(&n, s); err != nil {
				return nil, fmt.Errorf("extensions::%s: %w", id, err)
			}
			if s.Directory == "" {
				return nil, fmt.Errorf("extensions::%s: directory is missing", id)
			}
			storages[id] = s
		case "health_check", "zpages", "pprof":
			b.notice("extension %s has no effect here", id)
		default:
			return nil, fmt.Errorf("extensions::%s: there is no extension %q; want file_storage", id, typeOf(id))
		}
	}
	return storages, nil
}

func (b *builder) pipeline(id string, n *pipelineNode, storages map[string]*fileStorage) (Pipeline, error) {
	p := Pipeline{ID: id}
	if typeOf(id) != "traces" {
		return p, fmt.Errorf("there are only pipelines of traces here, not of %s", typeOf(id))
	}
	if n == nil || len(n.Receivers) == 0 || len(n.Exporters) == 0 {
		return p, fmt.Errorf("want at least one receiver and one exporter")
	}
	for _, r := range n.Receivers {
		receiver, err := b.receiver(r)
		if err != nil {
			return p, err
		}
		p.Receivers = append(p.Receivers, receiver)
	}
	for _, name := range n.Processors {
		if _, defined := b.file.Processors[name]; !defined {
			return p, fmt.Errorf("processor %s is not under processors; there are %s", name, list(b.file.Processors))
		}
		switch typeOf(name) {
		case "batch", "memory_limiter":
			b.notice("processor %s is not needed here: batches are cut from the log (sending_queue::batch), and memory is bounded by the receivers' budget and the log's size", name)
		default:
			return p, fmt.Errorf("processors::%s: there is no processor %q here", name, typeOf(name))
		}
	}
	log := logBuilder{builder: b, pipeline: &p, storages: storages}
	for _, name := range n.Exporters {
		if slices.ContainsFunc(p.Exporters, func(e Exporter) bool { return e.ID == name }) {
			return p, fmt.Errorf("exporter %s is given twice", name)
		}
		e, d, err := b.exporter(name)
		if err == nil {
			err = log.add(d)
		}
		if err != nil {
			return p, fmt.Errorf("exporters::%s: %w", name, err)
		}
		p.Exporters = append(p.Exporters, e)
	}
	return p, nil
}

// logBuilder makes one log of the queues of a pipeline's exporters.
type logBuilder struct {
	*builder
	pipeline *Pipeline
	storages map[string]*fileStorage
	from     string // the storage that LogDir is of
	first    *delivery
}

func (l *logBuilder) add(d *delivery) error {
	q, o := &d.Queue, &l.pipeline.Log
	if l.first == nil {
		l.first = d
	}
	// These decide what is dropped, for everybody who reads the log. Nobody's spans are to be dropped
	// since somebody else can do without his.
	if f := &l.first.Queue; cmp.Or(q.WhenFull, "refuse") != cmp.Or(f.WhenFull, "refuse") || q.MaxAge != f.MaxAge {
		return fmt.Errorf("sending_queue: when_full and max_age must be the same for all exporters of a pipeline: it has one log; or make another pipeline with a receiver of its own")
	}
	if q.BlockOnOverflow {
		l.notice("sending_queue::block_on_overflow has no effect here: when the log is full, clients are told to come back")
	}
	if q.Batch != nil && q.Batch.MinSize > 0 {
		l.notice("sending_queue::batch::min_size has no effect here: a batch goes when it is nearly full, or after flush_timeout")
	}
	if q.Enabled != nil && !*q.Enabled {
		l.notice("sending_queue::enabled: false has no effect here: exporters read from the pipeline's log")
	}
	if q.WaitForResult {
		return fmt.Errorf("sending_queue::wait_for_result: not here; what is acknowledged is in the log")
	}
	switch q.Sizer {
	case "bytes":
		if q.QueueSize < 0 || q.QueueSize > 0 && q.QueueSize < 1<<20 {
			return fmt.Errorf("sending_queue::queue_size is %d: want at least 1048576 bytes", q.QueueSize)
		}
		o.MaxBytes = max(o.MaxBytes, q.QueueSize)
	case "", "requests", "items":
		if q.QueueSize != 0 {
			l.notice("sending_queue::queue_size counts %s, and has no effect here: the log is bounded in bytes; use sizer: bytes", cmp.Or(q.Sizer, "requests"))
		}
	default:
		return fmt.Errorf("sending_queue::sizer is %q: want bytes", q.Sizer)
	}
	switch q.WhenFull {
	case "", "refuse":
	case "drop_oldest":
		o.WhenFull = seglog.DropOldest
	default:
		return fmt.Errorf("sending_queue::when_full is %q: want refuse or drop_oldest", q.WhenFull)
	}
	o.MaxAge = time.Duration(q.MaxAge)
	if q.Storage == "" {
		return nil
	}
	s, known := l.storages[q.Storage]
	if !known {
		return fmt.Errorf("sending_queue::storage: %s is not a file_storage under service::extensions; there are %s", q.Storage, list(l.storages))
	}
	if l.from != "" && l.from != q.Storage {
		return fmt.Errorf("sending_queue::storage: %s, but another exporter of the pipeline has %s: a pipeline has one log", q.Storage, l.from)
	}
	l.from = q.Storage
	// Pipelines may share a storage: each has a directory of its own in it.
	l.pipeline.LogDir = filepath.Join(s.Directory, url.PathEscape(l.pipeline.ID))
	switch {
	case s.FSync != nil && !*s.FSync:
		o.Sync = seglog.SyncNever
	case s.FSyncInterval > 0:
		o.Sync, o.SyncEvery = seglog.SyncInterval, time.Duration(s.FSyncInterval)
	}
	return nil
}

func (b *builder) receiver(id string) (Receiver, error) {
	r := Receiver{ID: id, Config: collector.DefaultConfig()}
	n, defined := b.file.Receivers[id]
	if !defined {
		return r, fmt.Errorf("receiver %s is not under receivers; there are %s", id, list(b.file.Receivers))
	}
	if typeOf(id) != "otlp" {
		return r, fmt.Errorf("receivers::%s: there is no receiver %q here; want otlp", id, typeOf(id))
	}
	var o otlpReceiver
	if err := load(&n, &o); err != nil {
		return r, fmt.Errorf("receivers::%s: %w", id, err)
	}
	grpcGiven, httpGiven := given(&n, "protocols", "grpc"), given(&n, "protocols", "http")
	if !grpcGiven && !httpGiven {
		return r, fmt.Errorf("receivers::%s::protocols: want grpc, http, or both", id)
	}
	if err := o.apply(&r.Config, grpcGiven, httpGiven); err != nil {
		return r, fmt.Errorf("receivers::%s::protocols::%w", id, err)
	}
	return r, nil
}

// given says whether a mapping has these keys, one in the other, with a value or not.
func given(n *yaml.Node, keys ...string) bool {
	for _, key := range keys {
		if n == nil || n.Kind != yaml.MappingNode {
			return false
		}
		i := slices.IndexFunc(n.Content, func(c *yaml.Node) bool { return c.Value == key })
		if i < 0 {
			return false
		}
		n = n.Content[i+1]
	}
	return true
}

func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
