package collector

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ringtail-otel/ringtail/seglog"
)

// A client learns whether it is a disk that is full, or its quota, or the queue: what to do
// about it differs. To come back later it is told in each case.
func TestOverloadSaysWhatIsFull(t *testing.T) {
	var answer error
	s := start(t, &sink{answer: func([]byte) error { return answer }}, nil)
	conn := dial(t, s)
	onDisk := func(errno syscall.Errno) error {
		return refusal(errors.Join(seglog.ErrFull, &os.PathError{Op: "write", Path: "0.seg", Err: errno}))
	}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"disk", onDisk(syscall.ENOSPC), diskFull},
		{"quota", onDisk(syscall.EDQUOT), diskFull},
		{"queue", refusal(seglog.ErrFull), queueFull},
	} {
		answer = test.err
		if st := status.Convert(sendGRPC(conn, request(1))); st.Code() != codes.Unavailable || st.Message() != test.want || len(st.Details()) != 1 {
			t.Errorf("%s, gRPC: %v", test.name, st)
		}
		if err := send(t, s, "http", 1); err == nil || !strings.HasPrefix(err.Error(), "503 ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, HTTP: %v", test.name, err)
		}
	}
}
