package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/ringtail-otel/ringtail/otlp"
)

// sink is an OTLP receiver that counts spans and forgets them. It runs in a process
// of its own, so that its work is not the sender's.
type sink struct {
	cmd   *exec.Cmd
	stdin io.Closer // closing it ends the process
	GRPC  string    // host:port
	HTTP  string    // host:port
}

// startSink starts the sink process.
func startSink() (*sink, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &sink{cmd: exec.Command(self, "-role=sink")}
	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("cannot read the sink's addresses: %w", err)
	}
	return s, nil
}

// count asks how many spans have come.
func (s *sink) count() (spans, requests, bytes int64, err error) {
	resp, err := http.Get("http://" + s.HTTP + "/count")
	if err != nil {
		return 0, 0, 0, err
	}
	defer resp.Body.Close()
	_, err = fmt.Fscan(resp.Body, &spans, &requests, &bytes)
	return spans, requests, bytes, err
}

// stall lets the sink answer nothing for a time. What comes meanwhile waits, and counts
// if it has not been given up by then.
func (s *sink) stall(d time.Duration) error {
	resp, err := http.Post("http://"+s.HTTP+"/stall?for="+d.String(), "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the sink does not stall: %s", resp.Status)
	}
	return nil
}

func (s *sink) stop() {
	s.stdin.Close()
	_ = s.cmd.Wait() // how a sink ends is of no interest
}

// sinkRole is the sink process. It ends with its standard input.
func sinkRole() error {
	var spans, requests, bytes, stalledUntil atomic.Int64
	take := func(ctx context.Context, request []byte) error {
		if d := time.Until(time.Unix(0, stalledUntil.Load())); d > 0 {
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil { // given up: it will come again, or never
			return err
		}
		counts, err := otlp.Validate(request)
		if err != nil {
			return err
		}
		spans.Add(int64(counts.Spans))
		requests.Add(1)
		bytes.Add(int64(len(request)))
		return nil
	}

	g := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.ForceServerCodecV2(bytesCodec{}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			var request []byte
			if err := stream.RecvMsg(&request); err != nil {
				return err
			}
			if err := take(stream.Context(), request); err != nil {
				return err
			}
			return stream.SendMsg(new([]byte)) // an empty response: success
		}))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			body = z
		}
		request, err := io.ReadAll(body)
		if err == nil {
			err = take(r.Context(), request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, spans.Load(), requests.Load(), bytes.Load())
	})

	mux.HandleFunc("POST /stall", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.FormValue("for"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		stalledUntil.Store(time.Now().Add(d).UnixNano())
	})

	lg, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	lh, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go g.Serve(lg)
	go http.Serve(lh, mux)
	if err := json.NewEncoder(os.Stdout).Encode(sink{GRPC: lg.Addr().String(), HTTP: lh.Addr().String()}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// bytesCodec gives the sink messages as they came.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
