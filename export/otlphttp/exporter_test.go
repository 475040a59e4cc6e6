package otlphttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/internal/otlptest"
)

func TestExportDelivers(t *testing.T) {
	for _, c := range []struct {
		opts        []Option
		contentType string
		encoding    string
	}{
		{nil, protobuf, ""},
		{[]Option{WithCompression("none")}, protobuf, ""},
		{[]Option{WithCompression("gzip")}, protobuf, "gzip"},
		{[]Option{WithCompression("zstd")}, protobuf, "zstd"},
		{[]Option{WithJSON()}, "application/json", ""},
		{[]Option{WithJSON(), WithCompression("gzip")}, "application/json", "gzip"},
		{[]Option{WithJSON(), WithCompression("zstd")}, "application/json", "zstd"},
	} {
		t.Run(fmt.Sprint(c.contentType, c.encoding), func(t *testing.T) {
			otlptest.NoLeaks(t)
			r := new(receiver).start(t)
			e := newTestExporter(t, r.server.URL, append(c.opts,
				WithHeaders(map[string]string{"x-tenant": "blue", "Host": "shop.example"}), WithUserAgent("shop/1.2"))...)
			for i := range 5 {
				b := otlptest.Batch(t, 1+200*i, 200, 300*i)
				if i%2 == 1 {
					b = ringtail.JoinBatch(otlptest.Pieces(t, b, 10), b.Len())
				}
				if err := e.Export(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			r.wantTaken(1, 1000)
			for name, want := range map[string]string{
				"Content-Type":     c.contentType,
				"Content-Encoding": c.encoding,
				"X-Tenant":         "blue",
				"User-Agent":       "shop/1.2 ringtail/" + ringtail.Version + " (OTel-OTLP-Exporter-Go)",
			} {
				if got := r.last.Header.Get(name); got != want {
					t.Errorf("header %s is %q, want %q", name, got, want)
				}
			}
			if r.last.Host != "shop.example" || r.last.Method != "POST" || r.last.URL.Path != "/v1/traces" {
				t.Errorf("%s %s%s", r.last.Method, r.last.Host, r.last.URL)
			}
			if len(r.remotes) != 1 {
				t.Errorf("%d connections for one export after another", len(r.remotes))
			}
		})
	}
}

func TestURLPath(t *testing.T) {
	r := new(receiver).start(t)
	for suffix, want := range map[string]string{"": "/v1/traces", "/": "/", "/otlp": "/otlp", "?a=b": "/v1/traces?a=b"} {
		e := newTestExporter(t, r.server.URL+suffix)
		if err := e.Export(t.Context(), otlptest.Batch(t, 1, 1, 0)); err != nil || r.last.URL.String() != want {
			t.Errorf("%q: %v, %v, want %s", suffix, err, r.last.URL, want)
		}
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		url  string
		opt  Option
		want string
	}{
		{"", nil, `URL ""`},
		{"localhost:4318", nil, "must begin with http://"},
		{"ftp://x", nil, `URL "ftp://x"`},
		{"http://", nil, "has no host"},
		{"http://x:99999999", nil, "URL"},
		{"http://x#y", nil, "fragment"},
		{"http://x/%zz", nil, "URL"},
		{"ftp://u:secret@x", nil, "URL"},
		{"http://u:secret@x\x7f", nil, "URL"},
		{"http://x", WithCAFile("/nowhere"), "options for TLS"},
		{"https://x", WithCAFile("/nowhere"), "WithCAFile"},
		{"http://x", WithTimeout(-1), "WithTimeout(-1ns)"},
		{"http://x", WithMaxRequestBytes(0), "WithMaxRequestBytes(0)"},
		{"http://x", WithCompression("lz4"), `WithCompression: is "lz4"`},
		{"http://x", WithRetry(export.RetryConfig{Jitter: 2}), "WithRetry: RetryConfig.Jitter is 2"},
		{"http://x", WithHeaders(map[string]string{"a b": ""}), `"a b"`},
		{"http://x", WithHeaders(map[string]string{"a": "secret\n"}), `the value of "a"`},
		{"http://x", WithHeaders(map[string]string{"content-type": "text/plain"}), `"content-type"`},
	} {
		if c.opt == nil {
			c.opt = func(*config) {}
		}
		_, err := New(c.url, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q): %v, want %s", c.url, err, c.want)
		}
	}
}

func TestBackendThatIsDownAndComesBack(t *testing.T) {
	otlptest.NoLeaks(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := lis.Addr().String()
	lis.Close()
	e := newTestExporter(t, "http://"+addr, WithRetry(export.RetryConfig{InitialInterval: 5 * time.Millisecond, MaxInterval: 20 * time.Millisecond}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if losses := ringtail.Losses(e.Export(ctx, otlptest.Batch(t, 1, 5, 0)), 5); losses.Total() != 5 {
		t.Errorf("down: %v", losses)
	}
	exported := make(chan error, 1)
	go func() { exported <- e.Export(t.Context(), otlptest.Batch(t, 1, 5, 0)) }()
	if lis, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	back := new(receiver).start(t, func(s *httptest.Server) { s.Listener.Close(); s.Listener = lis })
	if err := <-exported; err != nil {
		t.Errorf("back: %v", err)
	}
	back.wantTaken(1, 5)
}

func TestBackendThatFlaps(t *testing.T) {
	otlptest.NoLeaks(t)
	var mu sync.Mutex
	n := 0
	r := (&receiver{answer: func(*http.Request, []int) answer {
		mu.Lock()
		defer mu.Unlock()
		switch n++; n % 4 {
		case 1:
			return answer{status: 503}
		case 2:
			panic(http.ErrAbortHandler) // hangs up without an answer
		}
		return answer{}
	}}).start(t)
	e := newTestExporter(t, r.server.URL, quick)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				if err := e.Export(t.Context(), otlptest.Batch(t, 1+100*i+20*j, 20, 10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.wantTaken(1, 800)
}

func TestBackendThatHangs(t *testing.T) {
	otlptest.NoLeaks(t)
	retry := WithRetry(export.RetryConfig{InitialInterval: 1, MaxAttempts: 2})
	// Before its answer begins.
	r := (&receiver{answer: func(req *http.Request, _ []int) answer { <-req.Context().Done(); return answer{status: 500} }}).start(t)
	e := newTestExporter(t, r.server.URL, WithTimeout(50*time.Millisecond), retry)
	err := e.Export(t.Context(), otlptest.Batch(t, 1, 5, 0))
	if losses := ringtail.Losses(err, 5); losses[ringtail.ReasonTimeout] != 5 {
		t.Errorf("before: %v", err)
	}
	// In the middle of an answer that says it has taken the spans.
	var log bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		<-req.Context().Done()
	}))
	defer server.Close()
	e = newTestExporter(t, server.URL, WithTimeout(50*time.Millisecond), retry, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	if err := e.Export(t.Context(), otlptest.Batch(t, 1, 5, 0)); err != nil || !strings.Contains(log.String(), "cannot read the answer") {
		t.Errorf("in the middle: %v; log %q", err, &log)
	}
}

// net/http may read the body of a request after it has returned the response. The race
// detector sees who reads what the test overwrites.
func TestBatchIsNotTouchedAfterExport(t *testing.T) {
	otlptest.NoLeaks(t)
	batch := otlptest.Batch(t, 1, 4000, 200)
	for _, http2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest) // without having read
		}))
		server.EnableHTTP2 = http2
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		server.StartTLS()
		e := newTestExporter(t, server.URL, WithTLSClientConfig(server.Client().Transport.(*http.Transport).TLSClientConfig), quick)
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
			b := ringtail.JoinBatch(otlptest.Pieces(t, batch, 1+i), batch.Len())
			if i == 0 {
				b = batch.Clone()
			}
			if err := e.Export(ctx, b); err == nil {
				t.Error("taken")
			}
			cancel()
			for _, piece := range b.Parts() {
				clear(piece)
			}
		}
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		server.Close()
	}
}

func TestTLS(t *testing.T) {
	otlptest.NoLeaks(t)
	authority, other := otlptest.NewAuthority(t), otlptest.NewAuthority(t)
	serverCert, _, _ := authority.Issue(t)
	_, certFile, keyFile := authority.Issue(t)
	_, strangerCert, strangerKey := other.Issue(t)
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	open := new(receiver).start(t, func(s *httptest.Server) {
		s.TLS, s.Config.ErrorLog = &tls.Config{Certificates: []tls.Certificate{serverCert}}, quiet
		s.EnableHTTP2 = true
	})
	mutual := new(receiver).start(t, func(s *httptest.Server) {
		s.TLS, s.Config.ErrorLog = &tls.Config{
			Certificates: []tls.Certificate{serverCert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool,
		}, quiet
	})
	for _, c := range []struct {
		name string
		to   *receiver
		opts []Option
		ok   bool
	}{
		{"CA file", open, []Option{WithCAFile(authority.File)}, true},
		{"CA pool", open, []Option{WithTLSClientConfig(&tls.Config{RootCAs: authority.Pool})}, true},
		{"unknown CA", open, []Option{WithCAFile(other.File)}, false},
		{"the system's CAs", open, nil, false},
		{"mutual", mutual, []Option{WithCAFile(authority.File), WithClientCertificateFiles(certFile, keyFile)}, true},
		{"mutual, without a certificate", mutual, []Option{WithCAFile(authority.File)}, false},
		{"mutual, a stranger's certificate", mutual, []Option{WithCAFile(authority.File), WithClientCertificateFiles(strangerCert, strangerKey)}, false},
	} {
		c.to.reset()
		e := newTestExporter(t, c.to.server.URL, append(c.opts, WithRetry(export.RetryConfig{MaxAttempts: 1}))...)
		err := e.Export(t.Context(), otlptest.Batch(t, 1, 1, 0))
		if (err == nil) != c.ok || (c.to.count() == 1) != c.ok {
			t.Errorf("%s: %v, %d calls", c.name, err, c.to.count())
		}
		if c.ok && c.to == open && c.to.last.ProtoMajor != 2 {
			t.Errorf("%s: over %s, want HTTP/2", c.name, c.to.last.Proto)
		}
	}
}

func TestProxy(t *testing.T) {
	otlptest.NoLeaks(t)
	proxy := new(receiver).start(t)
	e := newTestExporter(t, "http://backend.invalid:4318", WithProxy(func(*http.Request) (*url.URL, error) { return url.Parse(proxy.server.URL) }))
	if err := e.Export(t.Context(), otlptest.Batch(t, 1, 3, 0)); err != nil {
		t.Fatal(err)
	}
	proxy.wantTaken(1, 3)
	if proxy.last.URL.Host != "backend.invalid:4318" {
		t.Errorf("the proxy was asked for %s", proxy.last.URL)
	}
}

func TestLargeBatchesAreSplit(t *testing.T) {
	otlptest.NoLeaks(t)
	r := (&receiver{answer: func(req *http.Request, ids []int) answer {
		if slices.Contains(ids, 500) || req.ContentLength > 2000 {
			return answer{status: http.StatusRequestEntityTooLarge}
		}
		return answer{}
	}}).start(t)
	small, large := otlptest.Batch(t, 1, 1000, 50), otlptest.Batch(t, 1001, 1, 5000)
	b, err := ringtail.NewBatch(slices.Concat(small.Bytes(), large.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	err = newTestExporter(t, r.server.URL, WithMaxRequestBytes(2000), quick).Export(t.Context(), b)
	losses := ringtail.Losses(err, 1001)
	if lost := int(losses[ringtail.ReasonRejected]); lost < 2 || lost > 21 || lost != int(losses.Total()) || len(r.taken) != 1001-lost {
		t.Errorf("%d spans taken, %d lost: %v", len(r.taken), lost, err)
	}
}

func TestWhatIsNoReceiver(t *testing.T) {
	otlptest.NoLeaks(t)
	noise, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer noise.Close()
	wg.Go(func() {
		for {
			c, err := noise.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(strings.Repeat("noise", 1000)))
			c.Close()
		}
	})
	e := newTestExporter(t, "http://"+noise.Addr().String(), WithRetry(export.RetryConfig{InitialInterval: 1, MaxAttempts: 2}))
	err = e.Export(t.Context(), otlptest.Batch(t, 1, 3, 0))
	if losses := ringtail.Losses(err, 3); losses.Total() != 3 {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	otlptest.NoLeaks(t)
	entered := make(chan struct{}, 1)
	r := (&receiver{answer: func(req *http.Request, ids []int) answer {
		entered <- struct{}{}
		if ids[0] == 200 {
			<-req.Context().Done()
		}
		return answer{status: 503}
	}}).start(t)
	hour := WithRetry(export.RetryConfig{InitialInterval: time.Hour, MaxInterval: time.Hour, MaxElapsed: -1})
	run := func(e *Exporter, first int) <-chan error {
		exported := make(chan error, 1)
		go func() { exported <- e.Export(t.Context(), otlptest.Batch(t, first, 5, 0)) }()
		<-entered
		return exported
	}

	// A pause ends.
	e := newTestExporter(t, r.server.URL, hour)
	exported := run(e, 100)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-exported; err == nil || !strings.Contains(err.Error(), "503") {
		t.Error(err)
	}
	err := e.Export(t.Context(), otlptest.Batch(t, 1, 5, 0))
	if losses := ringtail.Losses(err, 5); losses[ringtail.ReasonClosed] != 5 {
		t.Error(err)
	}

	// An export that does not end is broken off.
	e = newTestExporter(t, r.server.URL, hour, WithTimeout(time.Hour))
	exported = run(e, 200)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Shutdown(over); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-exported; err == nil {
		t.Error("exported")
	}
}
