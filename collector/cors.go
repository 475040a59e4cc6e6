package collector

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CORS says which web pages' scripts may send spans over HTTP. The zero value is none: a
// browser then keeps pages of other origins from sending. (Fetch standard, "HTTP CORS
// protocol".)
type CORS struct {
	// AllowedOrigins are the pages' origins, such as https://shop.example.com, without a
	// path. One * in an origin stands for any characters, https://*.example.com; alone it
	// allows every page. Requests with credentials are allowed, too, since browsers send
	// those with a beacon; nothing here looks at them.
	AllowedOrigins []string

	// AllowedHeaders are header fields that scripts may set beside Accept, Content-Type,
	// Content-Encoding and X-Requested-With. * allows every one.
	AllowedHeaders []string

	// MaxAge is how long a browser may remember the answer to its question, in whole
	// seconds. Zero leaves it to the browser: five seconds.
	MaxAge time.Duration
}

func (c *CORS) validate() error {
	for _, o := range c.AllowedOrigins {
		scheme, host, ok := strings.Cut(o, "://")
		switch {
		case o == "*":
		case strings.Count(o, "*") > 1:
			return fmt.Errorf("collector: CORS.AllowedOrigins has %q: want at most one *", o)
		case !ok || scheme == "" || host == "" || strings.ContainsAny(host, "/ "):
			return fmt.Errorf("collector: CORS.AllowedOrigins has %q: want SCHEME://HOST[:PORT] without a path, or *", o)
		}
	}
	if c.MaxAge < 0 {
		return fmt.Errorf("collector: CORS.MaxAge is %v: want 0 or more", c.MaxAge)
	}
	return nil
}

// cors answers browsers. nil: it does not.
type cors struct {
	origins []string // in lower case
	headers []string // in canonical form
	any     bool     // header fields
	maxAge  string
}

var usualHeaders = []string{"Accept", "Content-Type", "Content-Encoding", "X-Requested-With"}

func newCORS(c CORS) *cors {
	if len(c.AllowedOrigins) == 0 {
		return nil
	}
	r := &cors{headers: slices.Clone(usualHeaders), any: slices.Contains(c.AllowedHeaders, "*")}
	for _, o := range c.AllowedOrigins {
		r.origins = append(r.origins, strings.ToLower(o))
	}
	for _, h := range c.AllowedHeaders {
		r.headers = append(r.headers, textproto.CanonicalMIMEHeaderKey(h))
	}
	if c.MaxAge > 0 {
		r.maxAge = strconv.Itoa(int(c.MaxAge / time.Second))
	}
	return r
}

// preflight says whether a request is a browser's question, before the request itself.
func preflight(req *http.Request) bool {
	return req.Method == http.MethodOptions && req.Header.Get("Origin") != "" && req.Header.Get("Access-Control-Request-Method") != ""
}

// permit writes the header fields that let a page of an allowed origin see the answer, and
// says whether there is one. The answer depends on the origin, also where it is none.
func (c *cors) permit(h http.Header, req *http.Request) bool {
	h.Add("Vary", "Origin")
	origin := req.Header.Get("Origin")
	if origin == "" || !c.allows(origin) {
		return false
	}
	// Not *, which browsers do not accept for requests with credentials.
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	return true
}

// answer answers a preflight of an allowed origin. It says yes without looking at the
// header fields that are asked for: the browser compares.
func (c *cors) answer(h http.Header, req *http.Request) {
	h.Add("Vary", "Access-Control-Request-Method")
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", http.MethodPost)
	allowed := strings.Join(c.headers, ", ")
	if asked := req.Header.Get("Access-Control-Request-Headers"); c.any && asked != "" {
		allowed = asked // with credentials, * would be the name of a field
	}
	h.Set("Access-Control-Allow-Headers", allowed)
	if c.maxAge != "" {
		h.Set("Access-Control-Max-Age", c.maxAge)
	}
}

func (c *cors) allows(origin string) bool {
	origin = strings.ToLower(origin)
	for _, pattern := range c.origins {
		before, after, wildcard := strings.Cut(pattern, "*")
		if !wildcard && origin == pattern {
			return true
		}
		if wildcard && len(origin) >= len(before)+len(after) && strings.HasPrefix(origin, before) && strings.HasSuffix(origin, after) {
			return true
		}
	}
	return false
}
