package config

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/collector"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/otlpgrpc"
	"github.com/ringtail-otel/ringtail/export/otlphttp"
)

// component is an exporter's part of a file.
type component interface {
	check(*builder) error // after it was loaded
	to() string           // its endpoint or file
	make(Environment) (ringtail.Exporter, error)
	common() *delivery
	timeout() time.Duration // of one attempt; 0: the pipeline's default
}

func (d *delivery) common() *delivery { return d }

func (*delivery) timeout() time.Duration { return 0 }

func (o *otlpExporter) timeout() time.Duration { return time.Duration(o.Timeout) }

func newComponent(kind string) component {
	switch kind {
	case "otlp", "otlp_grpc":
		return &otlpGRPC{}
	case "otlphttp", "otlp_http":
		return &otlpHTTP{}
	case "file":
		return &fileExporter{}
	case "debug":
		return &debugExporter{}
	case "nop":
		return &nopExporter{}
	}
	return nil
}

// exporter reads the configuration of an exporter. The delivery is what its pipeline's
// log is made by.
func (b *builder) exporter(id string) (Exporter, *delivery, error) {
	n, defined := b.file.Exporters[id]
	if !defined {
		return Exporter{}, nil, fmt.Errorf("is not under exporters; there are %s", list(b.file.Exporters))
	}
	x := newComponent(typeOf(id))
	if x == nil {
		return Exporter{}, nil, fmt.Errorf("there is no exporter %q here; want otlp_grpc, otlp_http, file, debug or nop", typeOf(id))
	}
	if err := load(&n, x); err != nil {
		return Exporter{}, nil, err
	}
	if err := x.check(b); err != nil {
		return Exporter{}, nil, err
	}
	c, err := x.common().config()
	if err != nil {
		return Exporter{}, nil, err
	}
	c.Timeout = x.timeout()
	return NewExporter(id, x.to(), func(env Environment) (collector.ExporterConfig, error) {
		c, err := open(x, c, env)
		if err != nil {
			err = fmt.Errorf("exporters::%s: %w", id, err)
		}
		return c, err
	}), x.common(), nil
}

func open(x component, c collector.ExporterConfig, env Environment) (_ collector.ExporterConfig, err error) {
	if c.Exporter, err = x.make(env); err != nil {
		return c, err
	}
	if letters := x.common().DeadLetter; letters != nil {
		c.DeadLetter, err = export.NewFile(letters.Path, export.FileConfig{Sync: true, Logger: env.Logger})
		if err != nil {
			return c, fmt.Errorf("dead_letter: %w", err)
		}
	}
	return c, nil
}

// config is what all exporters have in common.
func (d *delivery) config() (collector.ExporterConfig, error) {
	c := collector.ExporterConfig{Concurrency: d.Queue.NumConsumers}
	if d.Queue.NumConsumers < 0 || d.Queue.NumConsumers > 1024 {
		return c, fmt.Errorf("sending_queue::num_consumers is %d: want 1 to 1024", d.Queue.NumConsumers)
	}
	if q := d.Queue.Batch; q != nil {
		c.Linger = time.Duration(q.FlushTimeout)
		if q.MaxSize < 0 || q.MinSize < 0 || q.MaxSize > 0 && q.MinSize > q.MaxSize {
			return c, fmt.Errorf("sending_queue::batch: min_size is %d and max_size %d", q.MinSize, q.MaxSize)
		}
		switch q.Sizer {
		case "bytes":
			c.MaxBatchBytes = q.MaxSize
		case "", "items":
			if q.MaxSize > 0 { // then bytes are only what receivers take in one request
				c.MaxBatchSpans, c.MaxBatchBytes = q.MaxSize, 4<<20-64<<10
			}
		default:
			return c, fmt.Errorf("sending_queue::batch::sizer is %q: want items or bytes", q.Sizer)
		}
	}
	r := &d.Retry
	c.Retry = export.RetryConfig{
		InitialInterval: time.Duration(r.InitialInterval), MaxInterval: time.Duration(r.MaxInterval),
		MaxElapsed: time.Duration(r.MaxElapsedTime), Multiplier: r.Multiplier, Jitter: r.RandomizationFactor,
	}
	if r.Enabled != nil && !*r.Enabled {
		c.Retry.MaxAttempts = 1
	}
	if err := c.Retry.Validate(); err != nil {
		return c, fmt.Errorf("retry_on_failure: %w", err)
	}
	if d.DeadLetter != nil && d.DeadLetter.Path == "" {
		return c, fmt.Errorf("dead_letter::path is missing")
	}
	return c, nil
}

// once is for the exporters of OTLP: the pipeline retries, and sees each attempt.
var once = export.RetryConfig{MaxAttempts: 1}

// check settles the compression, which is gzip by default, as with the Collector.
func (o *otlpExporter) check() error {
	if o.Compression == nil {
		gzip := "gzip"
		o.Compression = &gzip
	}
	switch *o.Compression {
	case "":
		*o.Compression = "none"
	case "none", "gzip", "zstd":
	default:
		return fmt.Errorf("compression is %q: want none, gzip or zstd", *o.Compression)
	}
	return nil
}

// tls returns what the exporters have no option of their own for.
func (t *clientTLS) config() *tls.Config {
	if !t.InsecureSkipVerify && t.ServerName == "" {
		return nil
	}
	return &tls.Config{InsecureSkipVerify: t.InsecureSkipVerify, ServerName: t.ServerName}
}

type otlpGRPC struct {
	otlpExporter `yaml:",inline"`
}

func (o *otlpGRPC) check(*builder) error {
	if o.TracesEndpoint != "" || o.Encoding != "" {
		return fmt.Errorf("traces_endpoint and encoding are keys of otlp_http")
	}
	if o.Endpoint == "" {
		return fmt.Errorf("endpoint is missing: want HOST:PORT")
	}
	if o.Timeout == 0 {
		o.Timeout = duration(5 * time.Second)
	}
	return o.otlpExporter.check()
}

func (o *otlpGRPC) to() string { return o.Endpoint }

func (o *otlpGRPC) make(env Environment) (ringtail.Exporter, error) {
	opts := []otlpgrpc.Option{
		otlpgrpc.WithHeaders(o.Headers), otlpgrpc.WithCompressor(*o.Compression), otlpgrpc.WithRetry(once),
		otlpgrpc.WithTimeout(time.Duration(o.Timeout)), otlpgrpc.WithLogger(env.Logger),
	}
	if o.TLS.Insecure {
		opts = append(opts, otlpgrpc.WithInsecure())
		return otlpgrpc.New(o.Endpoint, opts...)
	}
	if o.TLS.CAFile != "" {
		opts = append(opts, otlpgrpc.WithCAFile(o.TLS.CAFile))
	}
	if o.TLS.CertFile != "" || o.TLS.KeyFile != "" {
		opts = append(opts, otlpgrpc.WithClientCertificateFiles(o.TLS.CertFile, o.TLS.KeyFile))
	}
	if c := o.TLS.config(); c != nil {
		opts = append(opts, otlpgrpc.WithTLSClientConfig(c))
	}
	return otlpgrpc.New(o.Endpoint, opts...)
}

type otlpHTTP struct {
	otlpExporter `yaml:",inline"`
}

func (o *otlpHTTP) check(*builder) error {
	if o.Encoding != "" && o.Encoding != "proto" && o.Encoding != "json" {
		return fmt.Errorf("encoding is %q: want proto or json", o.Encoding)
	}
	if o.TracesEndpoint == "" && o.Endpoint == "" {
		return fmt.Errorf("endpoint is missing: want a URL, as in http://backend:4318")
	}
	if !strings.Contains(o.to(), "://") {
		return fmt.Errorf("endpoint is %q: want a URL, as in http://backend:4318", o.Endpoint)
	}
	if o.Timeout == 0 {
		o.Timeout = duration(30 * time.Second)
	}
	return o.otlpExporter.check()
}

func (o *otlpHTTP) to() string {
	if o.TracesEndpoint != "" {
		return o.TracesEndpoint
	}
	return strings.TrimSuffix(o.Endpoint, "/") + "/v1/traces"
}

func (o *otlpHTTP) make(env Environment) (ringtail.Exporter, error) {
	opts := []otlphttp.Option{
		otlphttp.WithHeaders(o.Headers), otlphttp.WithCompression(*o.Compression), otlphttp.WithRetry(once),
		otlphttp.WithTimeout(time.Duration(o.Timeout)), otlphttp.WithLogger(env.Logger),
	}
	if o.Encoding == "json" {
		opts = append(opts, otlphttp.WithJSON())
	}
	if o.TLS.CAFile != "" {
		opts = append(opts, otlphttp.WithCAFile(o.TLS.CAFile))
	}
	if o.TLS.CertFile != "" || o.TLS.KeyFile != "" {
		opts = append(opts, otlphttp.WithClientCertificateFiles(o.TLS.CertFile, o.TLS.KeyFile))
	}
	if c := o.TLS.config(); c != nil {
		opts = append(opts, otlphttp.WithTLSClientConfig(c))
	}
	return otlphttp.New(o.to(), opts...)
}

func (o *fileExporter) check(*builder) error {
	if o.Path == "" {
		return fmt.Errorf("path is missing")
	}
	if o.Format != "" && o.Format != "json" {
		return fmt.Errorf("format is %q: want json", o.Format)
	}
	if o.Compression != "" && o.Compression != "zstd" {
		return fmt.Errorf("compression is %q: want zstd, or none", o.Compression)
	}
	return o.fileConfig().Validate()
}

func (o *fileExporter) fileConfig() export.FileConfig {
	c := export.FileConfig{Sync: true} // the cursor passes what is delivered: it is to be on disk
	if o.Compression == "zstd" {
		c.Compression = export.Zstd
	}
	if r := o.Rotation; r != nil {
		c.RotateBytes = int64(cmp.Or(r.MaxMegabytes, 100)) << 20
		c.MaxBackups = cmp.Or(r.MaxBackups, 100)
		c.MaxBackupAge = time.Duration(r.MaxDays) * 24 * time.Hour
		c.LocalTime = r.LocalTime
	}
	return c
}

func (o *fileExporter) to() string { return o.Path }

func (o *fileExporter) make(env Environment) (ringtail.Exporter, error) {
	c := o.fileConfig()
	c.Logger = env.Logger
	return export.NewFile(o.Path, c)
}

func (o *debugExporter) check(b *builder) error {
	switch o.Verbosity {
	case "", "basic", "normal", "detailed":
	default:
		return fmt.Errorf("verbosity is %q: want basic, normal or detailed", o.Verbosity)
	}
	if o.Verbosity != "" {
		b.notice("exporter debug prints traces as trees, whatever its verbosity")
	}
	return nil
}

func (o *debugExporter) to() string { return "standard output" }

func (o *debugExporter) make(env Environment) (ringtail.Exporter, error) {
	return export.NewWriter(env.Out), nil
}

type nopExporter struct {
	delivery `yaml:",inline"`
}

func (*nopExporter) check(*builder) error { return nil }
func (*nopExporter) to() string           { return "nowhere" }

func (*nopExporter) make(Environment) (ringtail.Exporter, error) { return export.Null(), nil }
