package interop

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// TestSDKToDaemon sends spans by the official SDK to the daemon.
func TestSDKToDaemon(t *testing.T) {
	skipIfShort(t)
	// The SDK has no other compression.
	testRoutes(t, "Go SDK", []string{overGRPC, overHTTP}, []string{"none", "gzip"}, func(t *testing.T, d *daemon, over, compression string) spans {
		return sendBySDK(t, over, compression, d.address(over))
	})
}

// TestCollectorToDaemon puts a Collector in front of the daemon, which gets its spans
// from the official SDK and passes them on in every way it has.
func TestCollectorToDaemon(t *testing.T) {
	skipIfShort(t)
	testRoutes(t, "Collector", []string{overGRPC, overHTTP, overJSON}, compressions, func(t *testing.T, d *daemon, over, compression string) spans {
		client := startCollector(t, forward(d, over, compression))
		sent := sendBySDK(t, overGRPC, "none", client.grpc)
		client.stop(t) // delivers what it has queued
		return sent
	})
}

// forward configures a Collector's exporter to the daemon.
func forward(d *daemon, over, compression string) string {
	switch over {
	case overGRPC:
		return fmt.Sprintf("otlp_grpc: {endpoint: %q, compression: %s, tls: {insecure: true}}", d.grpc, compression)
	case overHTTP:
		return fmt.Sprintf("otlp_http: {endpoint: %q, compression: %s, encoding: proto}", "http://"+d.http, compression)
	default:
		return fmt.Sprintf("otlp_http: {endpoint: %q, compression: %s, encoding: json}", "http://"+d.http, compression)
	}
}

// TestTelemetrygen sends the spans of telemetrygen, which does not tell what it
// has sent. Straight to the daemon, all destinations have to agree, and to have as
// many spans, and such, as telemetrygen was asked for. Through a Collector that writes
// them down first, all destinations have to have exactly those.
func TestTelemetrygen(t *testing.T) {
	skipIfShort(t)
	for _, over := range []string{overGRPC, overHTTP} {
		r := route{"telemetrygen", over, "none", destinations}
		r.run(t, func(t *testing.T) string {
			d := startDaemon(t)
			runTelemetrygen(t, over, d.address(over))
			arrived := d.spans(t)
			got := arrived["JSON file"]
			checkTelemetrygen(t, got)
			for where := range arrived {
				if err := compare(got, arrived[where], nil); err != nil {
					t.Errorf("%s, compared with the JSON file: %v", where, err)
				}
			}
			return exact(got.len())
		})
	}
	r := route{"telemetrygen → Collector", overGRPC, "none", destinations}
	r.run(t, func(t *testing.T) string {
		d := startDaemon(t)
		client := startCollector(t, forward(d, overGRPC, "none"))
		runTelemetrygen(t, overGRPC, client.grpc)
		sent := client.spans(t)
		checkTelemetrygen(t, sent)
		d.mustHave(t, sent)
		return exact(sent.len())
	})
}

// TestBackendAwayFromDaemon stops a backend of the daemon, sends spans, and starts it
// again. What the daemon has acknowledged has to arrive there, too.
func TestBackendAwayFromDaemon(t *testing.T) {
	skipIfShort(t)
	r := route{"Go SDK", overGRPC, "gzip", destinations + ", which was away"}
	r.run(t, func(t *testing.T) string {
		d := startDaemon(t)
		d.byHTTP.stop(t)
		sent := sendBySDK(t, overGRPC, "gzip", d.grpc)
		awaitAttempt(t, d.byHTTP, overHTTP)
		back := tryCollector(t, d.byHTTP.grpc, d.byHTTP.http, "")
		if back == nil {
			t.Fatal("the Collector's port was taken while it was stopped")
		}
		d.byHTTP = back
		d.mustHave(t, sent)
		return exact(sent.len())
	})
}

// TestDaemonKilled kills the daemon when it has acknowledged spans and one backend,
// which hangs, has none of them. Started again, it has to deliver all.
func TestDaemonKilled(t *testing.T) {
	skipIfShort(t)
	r := route{"Go SDK", overGRPC + ", " + overHTTP, "gzip", destinationsHang + ", and the daemon killed"}
	r.run(t, func(t *testing.T) string {
		d := startDaemon(t)
		hang(t, d.byGRPC)
		sent := sendBySDK(t, overGRPC, "gzip", d.grpc)
		maps.Copy(sent, sendBySDK(t, overHTTP, "gzip", d.http))
		if err := d.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-d.exited
		d.start(t)
		goOn(t, d.byGRPC)
		twice := 0
		for where, got := range d.spans(t) {
			if err := compare(sent, got, &twice); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
		return fmt.Sprintf("%d spans, none lost, %d sent again", sent.len(), twice)
	})
}

// What telemetrygen is asked for.
const (
	genWorkers  = 2
	genTraces   = 100 // of each worker
	genChildren = 3
	genLinks    = 2
)

func runTelemetrygen(t *testing.T, over, address string) {
	t.Helper()
	args := []string{"traces", "--otlp-insecure", "--otlp-endpoint", address, "--rate", "0",
		"--workers", fmt.Sprint(genWorkers), "--traces", fmt.Sprint(genTraces), "--child-spans", fmt.Sprint(genChildren),
		"--span-links", fmt.Sprint(genLinks), "--status-code", "Error", "--service", "interop",
		"--otlp-attributes", `deployment.environment.name="test"`, "--otlp-attributes", "n=7",
		"--telemetry-attributes", `text="Grüße"`, "--telemetry-attributes", "flag=true", "--telemetry-attributes", "numbers=[1,2,3]"}
	if over == overHTTP {
		args = append(args, "--otlp-http")
	}
	startProcess(t, "telemetrygen", args...).wait(t)
}

// checkTelemetrygen looks for the spans that runTelemetrygen asks for.
func checkTelemetrygen(t *testing.T, got spans) {
	t.Helper()
	const want = genWorkers * genTraces * (1 + genChildren)
	if len(got) != want || got.len() != want {
		t.Fatalf("%d spans arrived, %d of them different; want %d", got.len(), len(got), want)
	}
	children := map[string]int{} // by parent
	var roots []string
	for id, texts := range got {
		// Read by hand: this is about what is in the text, not about who reads it.
		var request struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes []any }
				ScopeSpans []struct {
					Spans []struct {
						TraceID, SpanID, ParentSpanID, Name string
						Attributes, Links                   []any
						Status                              struct{ Code int }
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(texts[0]), &request); err != nil {
			t.Fatal(err)
		}
		rs := request.ResourceSpans[0]
		span := rs.ScopeSpans[0].Spans[0]
		if n := len(rs.Resource.Attributes); n != 3 {
			t.Errorf("%d resource attributes, want 3: %s", n, texts[0])
		}
		if n := len(span.Attributes); n != 5 { // two of its own
			t.Errorf("%d attributes, want 5: %s", n, texts[0])
		}
		if span.Status.Code != 2 {
			t.Errorf("status is not an error: %s", texts[0])
		}
		if span.ParentSpanID == "" {
			roots = append(roots, id)
		} else {
			children[span.TraceID+"/"+span.ParentSpanID]++
		}
	}
	if len(roots) != genWorkers*genTraces {
		t.Errorf("%d roots, want %d", len(roots), genWorkers*genTraces)
	}
	if i := slices.IndexFunc(roots, func(id string) bool { return children[id] != genChildren }); i >= 0 {
		t.Errorf("%s has %d children, want %d", roots[i], children[roots[i]], genChildren)
	}
}
