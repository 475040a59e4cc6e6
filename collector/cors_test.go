package collector

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
)

func TestCORSOrigins(t *testing.T) {
	for _, test := range []struct {
		pattern, origin string
		want            bool
	}{
		{"https://shop.example.com", "https://shop.example.com", true},
		{"https://shop.example.com", "https://SHOP.example.com", true},
		{"https://shop.example.com", "http://shop.example.com", false},
		{"https://shop.example.com", "https://shop.example.com:8443", false},
		{"https://shop.example.com", "https://shop.example.com.evil.org", false},
		{"https://*.example.com", "https://shop.example.com", true},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://.example.com", true}, // no browser sends it
		{"https://*.example.com", "https://evilexample.com", false},
		{"https://*.example.com", "https://shop.example.com.evil.org", false},
		{"https://a*a.org", "https://a.org", false}, // the parts may not overlap
		{"http://localhost:*", "http://localhost:3000", true},
		{"http://localhost:*", "http://localhost", false},
		{"*", "https://anything.org", true},
		{"*", "null", true},
		{"https://a.org", "null", false},
	} {
		if got := newCORS(CORS{AllowedOrigins: []string{"https://other.net", test.pattern}}).allows(test.origin); got != test.want {
			t.Errorf("%s for %s: %v", test.pattern, test.origin, got)
		}
	}
	for _, bad := range []string{"", "example.com", "https://", "https://a.org/", "https://*.*.org", "https://a b"} {
		cfg := DefaultConfig()
		cfg.CORS.AllowedOrigins = []string{bad}
		if _, err := New(cfg, &sink{}); err == nil || !strings.Contains(err.Error(), "CORS.AllowedOrigins") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A browser's questions and requests, and what it must be told. (Fetch standard, "CORS
// protocol": a preflight is OPTIONS with Origin and Access-Control-Request-Method.)
func TestCORSAnswers(t *testing.T) {
	const page = "https://shop.example.com"
	on := CORS{AllowedOrigins: []string{"https://*.example.com"}, AllowedHeaders: []string{"x-tenant"}, MaxAge: 10 * time.Minute}
	all := CORS{AllowedOrigins: []string{"*"}, AllowedHeaders: []string{"*"}}
	type header = map[string]string
	for _, test := range []struct {
		name   string
		cors   CORS
		method string
		send   header
		sink   error
		code   int
		want   header // "": absent
	}{
		{"off", CORS{}, "OPTIONS", header{"Origin": page, "Access-Control-Request-Method": "POST"}, nil, 405,
			header{"Access-Control-Allow-Origin": "", "Vary": ""}},
		{"off, request", CORS{}, "POST", header{"Origin": page}, nil, 200, header{"Access-Control-Allow-Origin": "", "Vary": ""}},
		{"preflight", on, "OPTIONS", header{"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-tenant"}, nil, 204,
			header{"Access-Control-Allow-Origin": page, "Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Credentials": "true",
				"Access-Control-Allow-Headers": "Accept, Content-Type, Content-Encoding, X-Requested-With, X-Tenant", "Access-Control-Max-Age": "600",
				"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}},
		{"any header", all, "OPTIONS", header{"Origin": "null", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a,x-b"}, nil, 204,
			header{"Access-Control-Allow-Origin": "null", "Access-Control-Allow-Headers": "x-a,x-b", "Access-Control-Max-Age": ""}},
		{"preflight of a stranger", on, "OPTIONS", header{"Origin": "https://evil.org", "Access-Control-Request-Method": "POST"}, nil, 403,
			header{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": "", "Vary": "Origin"}},
		{"no preflight", on, "OPTIONS", header{"Origin": page}, nil, 405, header{"Access-Control-Allow-Methods": "", "Access-Control-Allow-Origin": page}},
		{"request", on, "POST", header{"Origin": page}, nil, 200,
			header{"Access-Control-Allow-Origin": page, "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "Retry-After", "Vary": "Origin"}},
		{"request of a stranger", on, "POST", header{"Origin": "https://evil.org"}, nil, 200, header{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"no browser", on, "POST", nil, nil, 200, header{"Access-Control-Allow-Origin": "", "Vary": "Origin"}},
		{"refusal", on, "POST", header{"Origin": page}, ringtail.ErrFull, 503, header{"Access-Control-Allow-Origin": page, "Retry-After": "1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, &sink{answer: func([]byte) error { return test.sink }}, func(c *Config) { c.CORS = test.cors })
			req := httptest.NewRequest(test.method, tracesPath, bytes.NewReader(encoded(t, request(1))))
			req.Header.Set("Content-Type", protobufType)
			for k, v := range test.send {
				req.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			s.http.Handler.ServeHTTP(w, req)
			if w.Code != test.code {
				t.Errorf("%d, want %d: %s", w.Code, test.code, w.Body)
			}
			for k, want := range test.want {
				if got := strings.Join(w.Result().Header[http.CanonicalHeaderKey(k)], ", "); got != want {
					t.Errorf("%s: %q, want %q", k, got, want)
				}
			}
		})
	}
}
