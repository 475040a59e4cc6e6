package collector

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	for _, form := range []string{"unix:", "unix://"} {
		t.Run(form, func(t *testing.T) {
			grpcPath, httpPath := filepath.Join(dir, "grpc"), filepath.Join(dir, "http")
			sink := &sink{}
			s := start(t, sink, func(c *Config) { c.GRPCAddr, c.HTTPAddr = form+grpcPath, form+httpPath })
			conn, err := grpc.NewClient("unix:"+grpcPath, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := sendGRPC(conn, request(2)); err != nil {
				t.Error(err)
			}
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", httpPath)
			}}}
			resp, err := client.Post("http://ringtail"+tracesPath, protobufType, bytes.NewReader(encoded(t, request(3))))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if n := sink.spans.Load(); n != 5 || resp.StatusCode != 200 {
				t.Errorf("%d spans, %s", n, resp.Status)
			}
			for _, path := range []string{grpcPath, httpPath} {
				info, err := os.Stat(path)
				if err != nil || info.Mode().Perm() != socketMode {
					t.Errorf("%v, %v", info, err)
				}
			}
			// Another server is not let in, and does no harm.
			cfg := DefaultConfig()
			cfg.GRPCAddr, cfg.HTTPAddr = "", "unix:"+httpPath
			if _, err := New(cfg, sink); err == nil || !strings.Contains(err.Error(), "another process listens there") {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(httpPath); err != nil {
				t.Error(err)
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			for _, path := range []string{grpcPath, httpPath} {
				if _, err := os.Stat(path); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", path, err)
				}
			}
		})
	}
}

func TestUnixSocketPathsThatExist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	if _, err := listen("unix:"); err == nil || !strings.Contains(err.Error(), "path is empty") {
		t.Errorf("%v", err)
	}
	// What a process that died leaves behind.
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = listen("unix:" + path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := listen("unix:" + filepath.Join(path, "below")); err == nil {
		t.Error("a path below a file")
	}
}

// An authority that signs for a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue writes a certificate for 127.0.0.1 and its key.
func (a *authority) issue(t *testing.T) (certFile, keyFile string) {
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	der, _ = x509.MarshalECPrivateKey(key)
	writePEM(t, keyFile, "EC PRIVATE KEY", der)
	return certFile, keyFile
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	certFile, keyFile := ca.issue(t)
	clientCert, clientKey := ca.issue(t)
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, test := range []struct {
		name   string
		server TLS
		client *tls.Config
		ok     bool
	}{
		{"server", TLS{CertFile: certFile, KeyFile: keyFile}, &tls.Config{RootCAs: roots}, true},
		{"both", TLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: ca.file}, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, true},
		{"client without", TLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: ca.file}, &tls.Config{RootCAs: roots}, false},
		{"old version", TLS{CertFile: certFile, KeyFile: keyFile}, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"unknown authority", TLS{CertFile: certFile, KeyFile: keyFile}, &tls.Config{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			sink := &sink{}
			s := start(t, sink, func(c *Config) { c.TLS = test.server })
			conn, err := grpc.NewClient(s.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(test.client.Clone())))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := sendGRPC(conn, request(200)); (err == nil) != test.ok {
				t.Errorf("gRPC: %v", err)
			}
			transport := &http.Transport{TLSClientConfig: test.client.Clone(), DisableKeepAlives: true}
			resp, err := (&http.Client{Transport: transport}).Post("https://"+s.HTTPAddr().String()+tracesPath, protobufType, bytes.NewReader(encoded(t, request(200))))
			if (err == nil) != test.ok {
				t.Errorf("HTTP: %v", err)
			}
			if err == nil {
				resp.Body.Close()
			}
			if n := sink.spans.Load(); test.ok && n != 400 || !test.ok && n != 0 {
				t.Errorf("%d spans", n)
			}
			if err := send(t, s, "http", 1); err == nil {
				t.Error("it takes spans without TLS")
			}
		})
	}
}

func TestTLSErrorsNameTheFile(t *testing.T) {
	ca := newAuthority(t)
	certFile, keyFile := ca.issue(t)
	_, otherKey := ca.issue(t)
	for _, test := range []struct {
		tls  TLS
		want string
	}{
		{TLS{KeyFile: keyFile}, "TLS.CertFile is empty"},
		{TLS{CertFile: certFile}, "TLS.KeyFile is empty"},
		{TLS{ClientCAFile: ca.file}, "TLS.CertFile is empty"},
		{TLS{CertFile: "/nowhere", KeyFile: keyFile}, "cannot use TLS.CertFile /nowhere"},
		{TLS{CertFile: certFile, KeyFile: otherKey}, "private key does not match"},
		{TLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: "/nowhere"}, "cannot read TLS.ClientCAFile: open /nowhere"},
		{TLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: keyFile}, "has no certificate"},
	} {
		cfg := DefaultConfig()
		cfg.GRPCAddr, cfg.HTTPAddr, cfg.TLS = "127.0.0.1:0", "", test.tls
		if _, err := New(cfg, &sink{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}
