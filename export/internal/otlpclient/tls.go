package otlpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how to make a TLS configuration: from a given one, or the defaults, and
// from PEM files.
type TLS struct {
	Config   *tls.Config
	CAFile   string // certificates to trust, instead of the system's
	CertFile string // the client's own certificate, for mutual TLS
	KeyFile  string // and its key
}

// Given reports whether anything was asked for.
func (t *TLS) Given() bool { return *t != TLS{} }

// Build reads the files. The result belongs to the caller.
func (t *TLS) Build() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.Config != nil {
		cfg = t.Config.Clone()
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("WithCAFile: cannot read the certificates to trust: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("WithCAFile(%q): has no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return cfg, nil
	}
	if t.CertFile == "" || t.KeyFile == "" {
		return nil, errors.New("WithClientCertificateFiles: needs the certificate and the key")
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("WithClientCertificateFiles: cannot load %q with key %q: %w", t.CertFile, t.KeyFile, err)
	}
	cfg.Certificates = []tls.Certificate{cert}
	return cfg, nil
}
