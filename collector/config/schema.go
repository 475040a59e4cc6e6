package config

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"
)

// The layouts of components. A pointer is a key whose absence differs from its zero.

type otlpReceiver struct {
	Protocols struct {
		GRPC *grpcServer `yaml:"grpc"`
		HTTP *httpServer `yaml:"http"`
	} `yaml:"protocols"`
}

type grpcServer struct {
	Endpoint          string     `yaml:"endpoint"`
	Transport         string     `yaml:"transport"`
	TLS               *serverTLS `yaml:"tls"`
	MaxRecvMsgSizeMiB int        `yaml:"max_recv_msg_size_mib"`
}

type httpServer struct {
	Endpoint           string     `yaml:"endpoint"`
	Transport          string     `yaml:"transport"`
	TLS                *serverTLS `yaml:"tls"`
	CORS               *cors      `yaml:"cors"`
	TracesURLPath      string     `yaml:"traces_url_path"`
	MaxRequestBodySize int        `yaml:"max_request_body_size"`
	ReadHeaderTimeout  duration   `yaml:"read_header_timeout"`
}

type serverTLS struct {
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ClientCAFile string `yaml:"client_ca_file"`
}

type cors struct {
	AllowedOrigins []string `yaml:"allowed_origins"`
	AllowedHeaders []string `yaml:"allowed_headers"`
	MaxAge         int      `yaml:"max_age"` // seconds
}

type otlpExporter struct {
	Endpoint       string            `yaml:"endpoint"`
	TracesEndpoint string            `yaml:"traces_endpoint"` // HTTP only
	TLS            clientTLS         `yaml:"tls"`
	Headers        map[string]string `yaml:"headers"`
	Compression    *string           `yaml:"compression"`
	Encoding       string            `yaml:"encoding"` // HTTP only
	Timeout        duration          `yaml:"timeout"`
	delivery       `yaml:",inline"`
}

type clientTLS struct {
	Insecure           bool   `yaml:"insecure"`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify"`
	CAFile             string `yaml:"ca_file"`
	CertFile           string `yaml:"cert_file"`
	KeyFile            string `yaml:"key_file"`
	ServerName         string `yaml:"server_name_override"`
}

type fileExporter struct {
	Path        string    `yaml:"path"`
	Rotation    *rotation `yaml:"rotation"`
	Format      string    `yaml:"format"`
	Compression string    `yaml:"compression"`
	delivery    `yaml:",inline"`
}

type rotation struct {
	MaxMegabytes int  `yaml:"max_megabytes"`
	MaxDays      int  `yaml:"max_days"`
	MaxBackups   int  `yaml:"max_backups"`
	LocalTime    bool `yaml:"localtime"`
}

type debugExporter struct {
	Verbosity string `yaml:"verbosity"`
	delivery  `yaml:",inline"`
}

// delivery is what all exporters have in common.
type delivery struct {
	Queue      queue       `yaml:"sending_queue"`
	Retry      retry       `yaml:"retry_on_failure"`
	DeadLetter *deadLetter `yaml:"dead_letter"`
}

type queue struct {
	Enabled         *bool    `yaml:"enabled"`
	NumConsumers    int      `yaml:"num_consumers"`
	QueueSize       int64    `yaml:"queue_size"`
	Sizer           string   `yaml:"sizer"`
	Storage         string   `yaml:"storage"`
	BlockOnOverflow bool     `yaml:"block_on_overflow"`
	WaitForResult   bool     `yaml:"wait_for_result"`
	Batch           *batch   `yaml:"batch"`
	WhenFull        string   `yaml:"when_full"`
	MaxAge          duration `yaml:"max_age"`
}

type batch struct {
	FlushTimeout duration `yaml:"flush_timeout"`
	MinSize      int      `yaml:"min_size"`
	MaxSize      int      `yaml:"max_size"`
	Sizer        string   `yaml:"sizer"`
}

type retry struct {
	Enabled             *bool    `yaml:"enabled"`
	InitialInterval     duration `yaml:"initial_interval"`
	MaxInterval         duration `yaml:"max_interval"`
	MaxElapsedTime      duration `yaml:"max_elapsed_time"`
	Multiplier          float64  `yaml:"multiplier"`
	RandomizationFactor float64  `yaml:"randomization_factor"`
}

type deadLetter struct {
	Path string `yaml:"path"`
}

type fileStorage struct {
	Directory       string   `yaml:"directory"`
	CreateDirectory *bool    `yaml:"create_directory"`
	FSync           *bool    `yaml:"fsync"`
	FSyncInterval   duration `yaml:"fsync_interval"`
	// Understood, and of no effect: there is no lock to wait for, and nothing to compact.
	Timeout    duration  `yaml:"timeout"`
	Compaction yaml.Node `yaml:"compaction"`
}

// duration is a time as the Collector's configuration has it: 5s, 200ms, 1h30m.
type duration time.Duration

// UnmarshalYAML reads a duration.
func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	t, err := time.ParseDuration(n.Value)
	if err != nil && n.Value == "0" {
		t, err = 0, nil
	}
	if err != nil || t < 0 {
		return fmt.Errorf("line %d: %q is no time: want 5s, 200ms or 1h30m", n.Line, n.Value)
	}
	*d = duration(t)
	return nil
}
