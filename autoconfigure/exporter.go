package autoconfigure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/export/otlpgrpc"
	"github.com/ringtail-otel/ringtail/export/otlphttp"
)

const exporterVariable = "OTEL_TRACES_EXPORTER"

// concurrency is how many exports each may have under way in a fan-out: as alone, but
// what people read stays in order.
var concurrency = map[string]int{"otlp": 4, "console": 1}

// chooseExporter returns the exporter that OTEL_TRACES_EXPORTER names, a fan-out if
// these are several, and nil for none. That it names only what is not known here is an
// error: spans would go to a place that nobody has asked for.
func (c *config) chooseExporter(b batching) (ringtail.Exporter, error) {
	if c.exporter != nil {
		return c.exporter, nil
	}
	names := c.env.list(exporterVariable, "otlp")
	if slices.Equal(names, []string{"none"}) {
		return nil, nil
	}
	known := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n != "otlp" && n != "console" })
	if len(known) == 0 {
		return nil, fmt.Errorf("cannot use %s=%q: want otlp, console or none; or pass an exporter by autoconfigure.WithExporter", exporterVariable, lookup(exporterVariable))
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			c.env.ignore(exporterVariable, n, "otlp, console or none")
		}
	}
	var branches []export.Branch
	for _, n := range known {
		e, err := c.open(n)
		if err != nil {
			return nil, errors.Join(err, closeAll(branches))
		}
		branches = append(branches, export.Branch{Name: n, Exporter: e, Logger: c.env.log,
			Timeout: b.exportTimeout, QueueBytes: b.queueBytes, Concurrency: concurrency[n]})
	}
	if len(branches) == 1 {
		return branches[0].Exporter, nil
	}
	return export.Fanout(branches...)
}

func (c *config) open(name string) (ringtail.Exporter, error) {
	if name == "console" {
		return export.NewStdout(), nil
	}
	protocol := lookup("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = lookup("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	if normal(protocol) == "grpc" {
		return otlpgrpc.NewFromEnv(otlpgrpc.WithLogger(c.env.log))
	}
	return otlphttp.NewFromEnv(otlphttp.WithLogger(c.env.log)) // which knows the other protocols
}

// closeAll shuts exporters down that have not been used.
func closeAll(branches []export.Branch) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var errs []error
	for _, b := range branches {
		errs = append(errs, b.Exporter.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
