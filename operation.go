package ringtail

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
)

// operation is an export as its metrics see it.
type operation struct {
	status atomic.Pointer[attribute.KeyValue]
}

type operationKey struct{}

// ReportStatus is for exporters: it says with which status the backend answered the last
// request of the export that ctx belongs to, such as http.response.status_code or
// rpc.grpc.status_code, for otel.sdk.exporter.operation.duration. Without metrics, and in
// contexts that are not an export's, it does nothing. It may be called from any goroutine.
func ReportStatus(ctx context.Context, status attribute.KeyValue) {
	if o, ok := ctx.Value(operationKey{}).(*operation); ok {
		o.status.Store(&status)
	}
}
