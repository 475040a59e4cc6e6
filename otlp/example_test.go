package otlp_test

import (
	"fmt"

	"github.com/ringtail-otel/ringtail/otlp"
)

// request stands for what a client sent.
func request() []byte {
	req, err := otlp.AppendFromJSON(nil, []byte(`{"resourceSpans":[{
		"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
		"scopeSpans":[{"scope":{"name":"checkout"},"spans":[
			{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /cart","kind":2,
			 "attributes":[{"key":"http.response.status_code","value":{"intValue":"200"}}]},
			{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","parentSpanId":"eee19b7ec3c1b174",
			 "name":"SELECT","kind":3,"status":{"code":2,"message":"timeout"}}]}]}]}`))
	if err != nil {
		panic(err)
	}
	return req
}

func ExampleValidate() {
	counts, err := otlp.Validate(request())
	fmt.Println(counts.Spans, err)

	_, err = otlp.Validate(request()[:100])
	fmt.Println(err)
	// Output:
	// 2 <nil>
	// otlp: cannot read resource_spans[0] at byte 0: the length is 181, but only 97 bytes are left
}

func ExampleSpans() {
	for ref := range otlp.Spans(request()) {
		resource := otlp.ParseResource(ref.Envelope.Resource)
		service, _ := resource.Attribute("service.name")
		span, err := otlp.ParseSpan(ref.Body)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %s %s, root: %v, status: %s %q\n",
			service.Bytes(), span.SpanID, span.Name, span.IsRoot(), span.StatusCode, span.StatusMessage)
		for kv := range span.Attributes() {
			fmt.Println("  ", kv.Key, "=", kv.Value.String())
		}
	}
	// Output:
	// shop: eee19b7ec3c1b174 GET /cart, root: true, status: Unset ""
	//    http.response.status_code = 200
	// shop: eee19b7ec3c1b175 SELECT, root: false, status: Error "timeout"
}

// Spans that have an error, cut out of one request and put into another without being decoded.
func ExampleAppendRequest() {
	var failed []byte
	var env *otlp.Envelope
	for ref := range otlp.Spans(request()) {
		if span, err := otlp.ParseSpan(ref.Body); err == nil && len(span.StatusMessage) > 0 {
			failed = append(failed, ref.Framed...)
			env = ref.Envelope
		}
	}
	req := otlp.AppendRequest(nil, env.Resource, "", otlp.ScopeRun{Scope: env.Scope, Spans: failed})
	json, err := otlp.AppendJSON(nil, req)
	fmt.Println(string(json), err)
	// Output:
	// {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"checkout"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","parentSpanId":"eee19b7ec3c1b174","name":"SELECT","kind":3,"status":{"message":"timeout","code":2}}]}]}]} <nil>
}

func ExampleSplit() {
	req := request()
	for part := range otlp.Split(req, 120) {
		fmt.Println(otlp.Count(part), "span in", len(part), "bytes")
	}
	// Output:
	// 1 span in 119 bytes
	// 1 span in 105 bytes
}
