package collector

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how connections are encrypted, by files in PEM. The zero value is not at all.
// The least version is TLS 1.2. Files are read once, by [New].
type TLS struct {
	// CertFile is the server's certificate, with the chain to its issuer, and KeyFile its
	// private key. One needs the other.
	CertFile, KeyFile string

	// ClientCAFile has the authorities whose certificates clients must show. Empty: none
	// is asked for.
	ClientCAFile string
}

// load returns nil for no TLS.
func (t TLS) load() (*tls.Config, error) {
	switch {
	case t == TLS{}:
		return nil, nil
	case t.CertFile == "":
		return nil, errors.New("collector: TLS.CertFile is empty: TLS needs a certificate and its key")
	case t.KeyFile == "":
		return nil, errors.New("collector: TLS.KeyFile is empty: TLS needs a certificate and its key")
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("collector: cannot use TLS.CertFile %s with TLS.KeyFile %s: %w", t.CertFile, t.KeyFile, err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if t.ClientCAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(t.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("collector: cannot read TLS.ClientCAFile: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("collector: TLS.ClientCAFile %s has no certificate in PEM", t.ClientCAFile)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}
